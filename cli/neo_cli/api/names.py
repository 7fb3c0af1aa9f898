"""One name, three spellings: CreateCompilationJob (API), create-compilation-job (command), create_compilation_job."""

from __future__ import annotations

import re


def kebab(name: str) -> str:
    """`S3OutputLocation` → `s3-output-location`, as botocore's xform_name with "-" spells the names of our model."""
    name = re.sub(r"([^-])([A-Z][a-z]+)", r"\1-\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1-\2", name).lower()


def camel(name: str) -> str:
    """`create-compilation-job` → `CreateCompilationJob`; not the inverse for names with digits or acronyms."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("-"))
