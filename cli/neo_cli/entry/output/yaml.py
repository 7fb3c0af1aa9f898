"""YAML 1.2, block style, keys sorted; a lone scalar is printed as JSON."""

from __future__ import annotations

from functools import cache
from typing import Any

from neo_cli.entry.output.json import scalar
from neo_cli.entry.output.response import Response
from neo_cli.entry.output.stream import Sink


def write(operation: str, response: Response, sink: Sink) -> None:
    """The whole response; an empty one prints nothing."""
    value = response.whole()
    if value != {}:
        sink.write_all(dumps(value) if isinstance(value, dict | list) else scalar(value) + "\n")


def dumps(value: Any) -> str:
    """A YAML document as the AWS CLI v2 writes it."""
    import yaml

    return yaml.dump(value, Dumper=_dumper(), default_flow_style=False, allow_unicode=True)


@cache
def _dumper() -> Any:
    """libyaml's safe dumper with YAML 1.2's idea of what is not a string (no, yes, on and 1:30 are).

    PyYAML built without libyaml folds two kinds of long strings elsewhere; the document means the same.
    """
    import re

    import yaml

    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
        yaml_implicit_resolvers: dict[str, list[Any]] = {}

    def plain(tag: str, pattern: str, first: str) -> None:
        Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern, re.X), list(first))

    plain("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF")
    plain(
        "float",
        r"""^(?: [-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)? | [-+]?(?:[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)
        | [-+]?\.[0-9_]+(?:[eE][-+][0-9]+)? | [-+]?\.(?:inf|Inf|INF) | \.(?:nan|NaN|NAN))$""",
        "-+0123456789.",
    )
    plain(
        "int",
        r"^(?:[-+]?0b[0-1_]+ | [-+]?0o?[0-7_]+ | [-+]?[0-9_]+ | [-+]?0x[0-9a-fA-F_]+)$",
        "-+0123456789",
    )
    plain("merge", r"^(?:<<)$", "<")
    plain("null", r"^(?: ~ | null | Null | NULL | )$", "~nN")
    Dumper.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^$"), [""])
    plain(
        "timestamp",
        r"""^(?:[0-9]{4}-[0-9]{2}-[0-9]{2} | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}
        (?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?)$""",
        "0123456789",
    )
    plain("value", r"^(?:=)$", "=")
    return Dumper
