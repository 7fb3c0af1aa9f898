"""DataInputConfig in every form people paste, as shapes by input name.

Accepted (facts of the API reference and of the developer guide): strict JSON, python-style single quotes,
backslash-escaped quotes, `name=1x3x224x224[,other=1x8]`, a list of shapes (PyTorch), and the CoreML dictionary
form with `shape`, `default_shape`, `type`, `bias`, `scale`.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass, field
from typing import Any

from neo_cli.base.errors import InputError

_PAIR = re.compile(r"\s*([^=,\s]+)\s*=\s*(-?\d+(?:\s*[xX]\s*-?\d+)*)\s*(?:,|;|\s|$)")
MAX_DIMENSION = 2**31 - 1  # larger sizes cannot be indexed by 32-bit kernels, and no real model has one


@dataclass(frozen=True)
class Shapes:
    """The shapes a request gives: `named` in the order written, or `listed` when no names were given.

    `extras` keeps the CoreML members (default_shape, type, bias, scale, range and enumerated shapes) by input.
    A dimension of -1 is "left free".
    """

    named: dict[str, tuple[int, ...]] = field(default_factory=dict)
    listed: tuple[tuple[int, ...], ...] = ()
    extras: dict[str, dict[str, Any]] = field(default_factory=dict)
    text: str = ""

    def for_names(self, names: list[str]) -> dict[str, tuple[int, ...]]:
        """Shapes by name; a list is matched to `names` in order."""
        if not self.listed:
            return dict(self.named)
        if len(self.listed) != len(names):
            raise InputError(
                f"DataInputConfig lists {len(self.listed)} shapes, but the model has {len(names)} inputs: {', '.join(names)}."
            )
        return dict(zip(names, self.listed))


def parse(text: str | None) -> Shapes | None:
    """Read a DataInputConfig text; None stays None.

    Raises InputError with Neo's own wording for text that is no JSON, or no dictionary or list.
    """
    if text is None:
        return None
    value = _load(text)
    if isinstance(value, list):
        listed = value if all(isinstance(v, list | dict) for v in value) else [value]
        shapes, extras = [], {}
        for position, item in enumerate(listed):
            shape, extra = _entry(f"input{position}", item)
            shapes.append(shape)
            if extra:
                extras[f"input{position}"] = extra
        return Shapes(listed=tuple(shapes), extras=extras, text=text)
    if not isinstance(value, dict):
        raise InputError("DataInputConfig is not dictionary or list.")
    named, extras = {}, {}
    for name, item in value.items():
        named[name], extra = _entry(name, item)
        if extra:
            extras[name] = extra
    return Shapes(named=named, extras=extras, text=text)


def _load(text: str, quoted: bool = False) -> Any:
    try:
        value = json.loads(text, object_pairs_hook=_unique)
        return _load(value, quoted=True) if isinstance(value, str) and not quoted else value
    except (json.JSONDecodeError, RecursionError) as error:
        first = error
    pairs = _PAIR.findall(text)
    if pairs and not _PAIR.sub("", text).strip():
        return _unique([(name, [int(n) for n in re.split(r"\s*[xX]\s*", sizes)]) for name, sizes in pairs])
    for attempt in (text, text.replace('\\"', '"'), text.strip().strip("\"'")):
        try:
            return json.loads(attempt, object_pairs_hook=_unique)
        except (json.JSONDecodeError, RecursionError):
            pass
        try:
            return ast.literal_eval(attempt.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    raise InputError(f"Cannot load DataInputConfig. Incorrect json format. {first}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise InputError(f"DataInputConfig names the input '{name}' twice.")
        found[name] = value
    return found


def _entry(name: str, item: Any) -> tuple[tuple[int, ...], dict[str, Any]]:
    if not isinstance(item, dict):
        return _shape(name, item), {}
    if "shape" not in item:
        raise InputError(f"DataInputConfig gives no 'shape' for input '{name}'.")
    shape, extra = item["shape"], {k: v for k, v in item.items() if k != "shape"}
    if isinstance(shape, list) and any(isinstance(v, list | str) for v in shape):
        extra["shape"] = shape
        fixed = item.get("default_shape") or (shape[0] if isinstance(shape[0], list) else [_low(v) for v in shape])
        return _shape(name, fixed), extra
    return _shape(name, shape), extra


def _low(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"\d+\.\.\d+", value):
        return int(value.split("..")[0])
    return value


def _shape(name: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, list | tuple):
        raise InputError(
            f"DataInputConfig gives '{value}' for input '{name}'; a shape is a list such as [1, 3, 224, 224]."
        )
    for size in value:
        if isinstance(size, bool) or not isinstance(size, int):
            raise InputError(
                f"DataInputConfig gives the shape {list(value)} for input '{name}'; every dimension must be an integer."
            )
        if size != -1 and not 1 <= size <= MAX_DIMENSION:
            raise InputError(
                f"DataInputConfig gives the dimension {size} for input '{name}'; dimensions are 1 to {MAX_DIMENSION}, or -1 for free."
            )
    return tuple(value)
