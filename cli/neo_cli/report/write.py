"""`<stem>-<target>.report.json`: everything that varies from run to run, beside the artifact."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from neo_cli import __version__
from neo_cli.runtime import cpu

PACKAGES = (
    "numpy",
    "onnx",
    "onnxslim",
    "onnxruntime",
    "openvino",
    "ziglang",
    "torch",
    "tensorflow",
    "scikit-learn",
    "xgboost",
    "treelite",
)


def versions() -> dict[str, str]:
    """The versions of what compiles here, by package."""
    found = {"neo-cli": __version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def host() -> dict[str, Any]:
    """This machine, as far as figures depend on it."""
    system, arch = cpu.machine()
    return {
        "os": system, "arch": arch, "cpu": cpu.name(), "cores": cpu.cores(), "python": platform.python_version(),
        "load": [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None,
    }  # fmt: skip


def write(path: Path, facts: Mapping[str, Any]) -> Path:
    """Write the report and return its path."""
    whole = {"format": 1, **facts, "host": host(), "versions": versions()}
    path.write_text(json.dumps(whole, indent=1, default=str) + "\n", encoding="utf-8")
    return path
