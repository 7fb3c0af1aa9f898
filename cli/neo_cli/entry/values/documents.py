"""--cli-input-json and --cli-input-yaml: a whole request as one document; options on the line win, key by key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from neo_cli.base.errors import ParamValidation
from neo_cli.entry.values import BadValue, files

if TYPE_CHECKING:
    from neo_cli.entry.context import Context

FLAGS = ("--cli-input-json", "--cli-input-yaml")


def merge(params: dict[str, Any], values: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """`params` with what the input document adds to it."""
    given = [flag for flag in FLAGS if values.get(flag) is not None]
    if not given:
        return params
    if len(given) > 1:
        raise ParamValidation("Only one --cli-input- parameter may be specified.")
    return {**params, **{k: v for k, v in document(given[0], values[given[0]], context).items() if k not in params}}


def document(flag: str, value: str, context: Context) -> dict[str, Any]:
    """The mapping that `value` (text, a file, or "-" for standard input) holds."""
    if value == "-":
        text: Any = context.stdin.read()
    else:
        try:
            text = files.read(value, context.environ)
        except files.FileError as fault:
            raise BadValue(flag, str(fault)) from fault
        text = value if text is files.MISSING else text
    found = _json(text) if flag == "--cli-input-json" else _yaml(text)
    if not isinstance(found, dict):
        raise BadValue(flag, f"Invalid type: expecting map, received {type(found)}")
    return found


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise BadValue("cli-input-json", "Invalid JSON received.") from fault


def _yaml(text: Any) -> Any:
    import yaml

    from neo_cli.entry.values.yaml12 import Loader

    try:
        loader = Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError) as fault:
        raise BadValue("cli-input-yaml", "Invalid YAML received.") from fault
