"""The values of an operation's options become a request: files read, JSON and shorthand parsed, numbers made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from neo_cli.api import shapes
from neo_cli.entry.options import whole
from neo_cli.entry.values import BadValue, files

if TYPE_CHECKING:
    from neo_cli.entry.context import Context

Shape = dict[str, Any]


class OrderedDict(dict[str, Any]):
    """A mapping read from a parameter's JSON; where it is refused, it is shown as the AWS CLI's Python shows its own."""

    __module__ = "collections"

    def __repr__(self) -> str:
        return f"OrderedDict({super().__repr__() if self else ''})"


def value_of(flag: str, shape: Shape, text: Any, context: Context) -> Any:
    """What `text` (a list of texts for a list) means for a member of this shape."""
    text = loaded(flag, shape, text, context)
    if _is_complex(shape) and not _looks_like_json(text):
        return _shorthand(flag, shape, text, context)
    return _unpacked(flag, shape, text)


def loaded(flag: str, shape: Shape, text: Any, context: Context) -> Any:
    """The value itself, or what the file it names holds; for structures "-" is standard input (ours)."""
    single = text[0] if isinstance(text, list) and len(text) == 1 else text
    if single == "-" and shape["type"] in ("structure", "list"):
        return context.stdin.read()
    try:
        found = files.read(single, context.environ)
    except files.FileError as fault:
        raise BadValue(flag, str(fault)) from fault
    if isinstance(found, bytes) and shape["type"] in ("structure", "list"):
        try:
            return found.decode("utf-8")
        except UnicodeDecodeError as fault:
            raise BadValue(flag, f"{single} holds no text.") from fault
    return text if found is files.MISSING else found


def _is_complex(shape: Shape) -> bool:
    """Whether shorthand can describe it: structures, and lists of them."""
    if shape["type"] == "list":
        return _member(shape)["type"] in ("structure", "list")
    return bool(shape["type"] == "structure")


def _looks_like_json(text: Any) -> bool:
    first = (text[0] if text else "") if isinstance(text, list) else text
    return isinstance(first, str) and first.strip().startswith(("[", "{"))


def _member(shape: Shape) -> Shape:
    return shapes.shape(shape["member"]["shape"])


# ---------------------------------------------------------------------------------------------------- shorthand


def _shorthand(flag: str, shape: Shape, text: Any, context: Context) -> Any:
    from neo_cli.entry.values import shorthand  # its expressions take 9 ms to compile

    def load(value: str) -> Any:
        found = files.read(value, context.environ)
        return value if found is files.MISSING else found

    def parse(one: str) -> dict[str, Any]:
        return shorthand.parse(one, load, shapes.JSON_MEMBERS)

    try:
        if isinstance(text, list):
            found: Any = [parse(one) for one in text]
        else:
            found = parse(text)
            found = [found] if shape["type"] == "list" else found
    except (shorthand.ShorthandError, files.FileError) as fault:
        raise BadValue(flag, str(fault)) from fault
    _fit(found, shape)
    return found


def _fit(value: Any, shape: Shape) -> Any:
    """Shorthand knows texts only: make the numbers the model wants, and lists of what stands alone."""
    if shape["type"] == "structure" and isinstance(value, dict):
        for name, member in shape["members"].items():
            if name in value:
                value[name] = _fit(value[name], shapes.shape(member["shape"]))
    elif shape["type"] == "list":
        if not isinstance(value, list):
            return [value]
        value[:] = [_fit(item, _member(shape)) for item in value]
    elif shape["type"] == "integer":
        return whole(value)
    return value


# --------------------------------------------------------------------------------------------------------- JSON


def _unpacked(flag: str, shape: Shape, text: Any) -> Any:
    kind = shape["type"]
    if kind == "integer":
        return whole(text)
    if kind == "structure":
        if text.lstrip().startswith("{"):
            return _json(flag, text)
        raise BadValue(flag, f"Invalid JSON:\n{text}")
    if kind == "list":
        return _unpacked_list(flag, shape, text)
    return text


def _unpacked_list(flag: str, shape: Shape, text: Any) -> Any:
    single = text if isinstance(text, str) else text[0] if len(text) == 1 else ""
    if single.strip().startswith("["):
        return _json(flag, single)
    many = [text] if isinstance(text, str) else text
    return [_unpacked(flag, _member(shape), one) for one in many]


def _json(flag: str, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=OrderedDict)
    except ValueError as fault:
        raise BadValue(flag, f"Invalid JSON: {fault}\nJSON received: {text}") from fault


# ------------------------------------------------------------------------------------------- JSON within strings


def encode_json_members(params: Mapping[str, Any]) -> dict[str, Any]:
    """Ours: a mapping or list where the API wants JSON in a string becomes that string (AWS refuses it)."""
    found = dict(params)
    for key, value in found.items():
        if isinstance(value, dict):
            found[key] = type(value)({name: _encoded(name, part) for name, part in value.items()})
    return found


def _encoded(name: str, value: Any) -> Any:
    if name not in shapes.JSON_MEMBERS or not isinstance(value, dict | list):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):  # a YAML date in it: the type error that follows says so
        return value
