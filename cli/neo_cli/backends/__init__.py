"""BACKENDS: name -> `compile(model, target, options, work) -> Build`; one file (or room) a compiler."""

BACKENDS = {
    "native": "neo_cli.backends.native:compile",
    "onnxruntime": "neo_cli.backends.onnxruntime:compile",
    "openvino": "neo_cli.backends.openvino:compile",
    "coreml": "neo_cli.backends.coreml:compile",
    "vendor": "neo_cli.backends.vendor:compile",
}
