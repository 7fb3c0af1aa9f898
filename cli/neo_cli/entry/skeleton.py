"""--generate-cli-skeleton: the files of skeletons/ for input, a response made from the model for output."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from neo_cli.api import shapes
from neo_cli.api.names import kebab

FLAG = "--generate-cli-skeleton"
FOLDER = Path(__file__).resolve().parents[1] / "skeletons"
SUFFIX = {"input": ".json", "yaml-input": ".yaml"}


def text(operation: str, form: str) -> str:
    """The skeleton of the operation's request, as `input` (JSON) or `yaml-input`."""
    return (FOLDER / "api" / (kebab(operation) + SUFFIX[form])).read_text(encoding="utf-8")


def output(operation: str) -> dict[str, Any]:
    """A response in which every text is its member's name; AWS fails where such a response breaks a minimum."""
    shape = shapes.output_shape(operation)
    return {} if shape is None else _example(shape, "", _named)


def request(operation: str) -> dict[str, Any]:
    """The request skeleton: empty texts, the first value of an enum, zeros; what the JSON files hold."""
    found: dict[str, Any] = _example(shapes.input_shape(operation), "", _empty)
    return found


def _example(shape: dict[str, Any], name: str, scalar: Any) -> Any:
    if shape["type"] == "structure":
        return {key: _example(shapes.shape(m["shape"]), key, scalar) for key, m in shape["members"].items()}
    if shape["type"] == "list":
        member = shape["member"]["shape"]
        return [_example(shapes.shape(member), member, scalar)]
    return scalar(shape, name)


def _named(shape: dict[str, Any], name: str) -> Any:
    if shape["type"] == "integer":
        return 0
    return datetime(1970, 1, 1) if shape["type"] == "timestamp" else name


def _empty(shape: dict[str, Any], name: str) -> Any:
    if shape["type"] == "integer":
        return 0
    if shape["type"] == "timestamp":
        return "1970-01-01T00:00:00"
    return shape["enum"][0] if "enum" in shape else ""
