"""YAML 1.2 for input documents: `no` and `1:30` are texts, `012` is twelve, a key may stand only once."""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.constructor import ConstructorError

_TAG = "tag:yaml.org,2002:"


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2's scalars and without duplicate keys."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == _TAG + "merge":
                continue
            key = self.construct_object(key_node, deep=True)  # type: ignore[no-untyped-call]
            try:
                known = key in seen
            except TypeError as fault:
                raise ConstructorError(None, None, "found an unhashable key", key_node.start_mark) from fault
            if known:
                raise ConstructorError(None, None, f"found duplicate key {key!r}", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _construct_int(loader: Any, node: Any) -> int:
    text = loader.construct_scalar(node).replace("_", "")
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    for prefix, base in (("0b", 2), ("0o", 8), ("0x", 16)):
        if digits.startswith(prefix):
            return sign * int(digits[2:], base)
    return sign * int(digits)


def _plain(tag: str, pattern: str, first: str) -> None:
    Loader.add_implicit_resolver(_TAG + tag, re.compile(pattern, re.X), list(first))  # type: ignore[no-untyped-call]


_plain("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF")
_plain(
    "float",
    r"""^(?: [-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)? | [-+]?(?:[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)
    | [-+]?\.[0-9_]+(?:[eE][-+][0-9]+)? | [-+]?\.(?:inf|Inf|INF) | \.(?:nan|NaN|NAN))$""",
    "-+0123456789.",
)
_plain(
    "int",
    r"^(?: [-+]?0b[0-1_]+ | [-+]?0o?[0-7_]+ | [-+]?[0-9][0-9_]* | [-+]?0x[0-9a-fA-F_]+ )$",
    "-+0123456789",
)
_plain("merge", r"^(?:<<)$", "<")
_plain("null", r"^(?: ~ | null | Null | NULL )$", "~nN")
Loader.add_implicit_resolver(_TAG + "null", re.compile(r"^$"), [""])  # type: ignore[no-untyped-call]
_plain(
    "timestamp",
    r"""^(?: [0-9]{4}-[0-9]{2}-[0-9]{2} | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}
    (?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))? )$""",
    "0123456789",
)
_plain("value", r"^(?:=)$", "=")
Loader.add_constructor(_TAG + "int", _construct_int)  # type: ignore[no-untyped-call]
