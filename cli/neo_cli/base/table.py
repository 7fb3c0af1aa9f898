"""Tables of names: a value is "module:attribute" and costs nothing until it is resolved."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any


def resolve(path: str) -> Any:
    """Return what `"module:attribute"` names, importing the module now."""
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)


def lookup(table: Mapping[str, str], name: str) -> Any:
    """Resolve `table[name]`; KeyError carries the known names."""
    if name not in table:
        raise KeyError(f"{name!r} is not one of: {', '.join(table)}")
    return resolve(table[name])
