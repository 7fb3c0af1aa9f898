"""The settings a job takes along: its runner may be started by a later command with another environment.

Where things lie and who is asked for them is kept with the job; secrets are not, the runner has those of its own
environment or of the profile's files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

KEPT = (
    "NEO_S3_ROOT", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_SAGEMAKER", "AWS_CA_BUNDLE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE",
)  # fmt: skip
PATHS = ("NEO_S3_ROOT", "AWS_CA_BUNDLE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
NOTE = "settings"  # the key of Job.extra


def kept(environ: Mapping[str, str], cwd: str = "") -> dict[str, str]:
    """What a job remembers of the environment it was created in; paths are made absolute."""
    found = {name: environ[name] for name in KEPT if environ.get(name)}
    for name in PATHS:
        if name in found and not found[name].startswith("~"):
            found[name] = os.path.normpath(os.path.join(cwd or os.getcwd(), found[name]))
    return found


def over(environ: Mapping[str, str], extra: Mapping[str, object]) -> dict[str, str]:
    """The environment of an attempt: the runner's, with the job's own settings in place of the runner's."""
    own = extra.get(NOTE)
    if not isinstance(own, dict):
        return dict(environ)
    return {**{name: value for name, value in environ.items() if name not in KEPT}, **own}
