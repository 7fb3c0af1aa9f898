"""The API's shapes: the model, what a client must find wrong with a request, and what the service must.

`client_faults` checks what botocore checks (required, unknown, type, minimum) in botocore's words; `service_faults`
checks the rest (maximum, pattern, enum, and the minimum of what no client has checked) in the words of AWS's service
framework. Both return all faults at once and never raise.
"""

from __future__ import annotations

import functools
import json
import os.path
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Shape = dict[str, Any]
JSON_MEMBERS = frozenset({"DataInputConfig", "CompilerOptions"})  # strings in which the API wants JSON
_TYPES: dict[str, tuple[type, ...]] = {"structure": (dict,), "list": (list, tuple), "string": (str,), "integer": (int,)}


@functools.cache
def load() -> dict[str, Any]:
    """The API model: "operations", "shapes", "pagination", as botocore's service-2.json has them."""
    with open(os.path.join(os.path.dirname(__file__), "model.json"), encoding="utf-8") as file:
        model: dict[str, Any] = json.load(file)
    return model


def shape(name: str) -> Shape:
    """The shape called `name`."""
    found: Shape = load()["shapes"][name]
    return found


def input_shape(operation: str) -> Shape:
    """The structure an operation takes."""
    return shape(load()["operations"][operation]["input"]["shape"])


def output_shape(operation: str) -> Shape | None:
    """The structure an operation answers with, None where it answers nothing."""
    output = load()["operations"][operation].get("output")
    return None if output is None else shape(output["shape"])


# ---------------------------------------------------------------------------------------------- in the client


def client_faults(operation: str, params: Mapping[str, Any]) -> list[str]:
    """What botocore would refuse to send, one line each, in its order and words."""
    return list(_client(dict(params), input_shape(operation), ""))


def _client(value: Any, here: Shape, path: str) -> Iterator[str]:
    kind: str = here["type"]
    if kind == "timestamp":
        yield from _client_time(value, path)
        return
    if not _is(value, kind):
        yield _wrong_type(value, path, [str(t) for t in _TYPES[kind]])
        return
    if kind == "structure":
        yield from _client_structure(value, here, path)
        return
    size = value if kind == "integer" else len(value)
    if size < here.get("min", size):
        word = "value" if kind == "integer" else "length"
        yield (f"Invalid {word} for parameter {path.lstrip('.')}, value: {size}, valid min {word}: {here['min']}")
    if kind == "list":
        for index, item in enumerate(value):
            yield from _client(item, shape(here["member"]["shape"]), f"{path}[{index}]")


def _client_structure(value: dict[str, Any], here: Shape, path: str) -> Iterator[str]:
    place = path.lstrip(".") or "input"
    for name in here.get("required", []):
        if name not in value:
            yield f'Missing required parameter in {place}: "{name}"'
    members = here["members"]
    for name in value:
        if name not in members:
            yield f'Unknown parameter in {place}: "{name}", must be one of: {", ".join(members)}'
    for name, part in value.items():
        if name in members:
            yield from _client(part, shape(members[name]["shape"]), f"{path}.{name}")


def _client_time(value: Any, path: str) -> Iterator[str]:
    from neo_cli.api.times import moment

    try:
        moment(value)
    except (TypeError, ValueError, AttributeError, OverflowError):
        yield _wrong_type(value, path, ["<class 'datetime.datetime'>", "timestamp-string"])


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, _TYPES[kind])


def _wrong_type(value: Any, path: str, wanted: list[str]) -> str:
    name = path.lstrip(".") or "input"
    return f"Invalid type for parameter {name}, value: {value}, type: {type(value)}, valid types: {', '.join(wanted)}"


# --------------------------------------------------------------------------------------------- in the service


def service_faults(operation: str, params: Mapping[str, Any]) -> list[str]:
    """What the service would refuse, one phrase each: "Value 'x' at 'a.b' failed to satisfy constraint: ...".

    Join them with "; " after "N validation error(s) detected: " (`validation_message`). What only botocore's client
    checks is checked here as well: a request may come in over HTTP, where no client has looked.
    """
    return list(_service(dict(params), input_shape(operation), ""))


def validation_message(faults: list[str]) -> str:
    """The text of the ValidationException that carries `faults`."""
    word = "error" if len(faults) == 1 else "errors"
    return f"{len(faults)} validation {word} detected: {'; '.join(faults)}"


def _service(value: Any, here: Shape, path: str) -> Iterator[str]:
    kind = here["type"]
    if value is None:
        yield f"Value null at '{path}' failed to satisfy constraint: Member must not be null"
        return
    if kind == "timestamp":
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield _refused(value, path, "Member must be a timestamp")
        return
    if not _is(value, kind) or isinstance(value, bool):
        yield _refused(value, path, f"Member must be a {kind}")
        return
    if kind == "structure":
        yield from _service_structure(value, here, path)
        return
    yield from (_refused(value, path, text) for text in _constraints(value, here))
    if kind == "list":
        for index, item in enumerate(value, 1):
            yield from _service(item, shape(here["member"]["shape"]), f"{path}.{index}.member")


def _service_structure(value: dict[str, Any], here: Shape, path: str) -> Iterator[str]:
    members = here["members"]
    for name in here.get("required", []):
        if value.get(name) is None:
            yield from _service(None, shape(members[name]["shape"]), _below(path, name))
    for name, part in value.items():
        if name not in members:
            yield _refused(part, _below(path, name), "Member is not known")
        elif part is not None:
            yield from _service(part, shape(members[name]["shape"]), _below(path, name))


def _constraints(value: Any, here: Shape) -> Iterator[str]:
    measure, word = (value, "value") if here["type"] == "integer" else (len(value), "length")
    if here["type"] == "string":
        if "enum" in here and value not in here["enum"]:
            yield f"Member must satisfy enum value set: [{', '.join(here['enum'])}]"
        if "pattern" in here and not _matcher(here["pattern"])(value):
            yield f"Member must satisfy regular expression pattern: {here['pattern']}"
    if "max" in here and measure > here["max"]:
        yield f"Member must have {word} less than or equal to {here['max']}"
    if "min" in here and measure < here["min"]:
        yield f"Member must have {word} greater than or equal to {here['min']}"


def _refused(value: Any, path: str, text: str) -> str:
    shown = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | bool) else value
    return f"Value '{shown}' at '{path}' failed to satisfy constraint: {text}"


def _below(path: str, name: str) -> str:
    """The path of member `name`: AWS writes members with a small first letter."""
    own = name[:1].lower() + name[1:]
    return f"{path}.{own}" if path else own


@functools.cache
def _matcher(pattern: str) -> Callable[[str], Any]:
    r"""A full match of a model's pattern; \p{...} of Java's dialect is spelled out for Python."""
    import unicodedata

    if r"\p{" not in pattern:
        return re.compile(pattern).fullmatch
    # Only the tag patterns have them: ([\p{L}\p{Z}\p{N}_.:/=+\-@]*)
    groups = "".join(re.findall(r"\\p\{(\w)\}", pattern))
    rest = re.compile(re.sub(r"\\p\{\w\}", "", pattern).replace("]*", "]")).fullmatch
    return lambda text: all(unicodedata.category(c)[0] in groups or rest(c) for c in text)


# ------------------------------------------------------------------------------------------------- on the wire


def to_wire(operation: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """`params` as they are sent: timestamps as whole epoch seconds; what is no timestamp is left to the service."""
    return {name: _sent(value, input_shape(operation)["members"].get(name)) for name, value in params.items()}


def _sent(value: Any, member: Shape | None) -> Any:
    if member is None or shape(member["shape"])["type"] != "timestamp":
        return value
    from neo_cli.api.times import epoch

    try:
        return epoch(value)
    except (TypeError, ValueError, AttributeError, OverflowError):
        return value
