"""LOCATIONS: URI scheme -> the place's `fetch` and `prepare`; one file a scheme."""

LOCATIONS = {
    "file": "neo_cli.worker.locations.file:FileLocation",
    "s3": "neo_cli.worker.locations.s3:S3Location",
}
