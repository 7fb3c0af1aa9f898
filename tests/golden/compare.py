"""What counts as the same: exit code, standard output, the error's words, and the requests on the wire.

The usage text is left out, "neo-cli:" reads "aws:", and in YAML skeletons the prose of the comments is left out.
"""

from __future__ import annotations

import re
from typing import Any


def errors(text: str) -> str:
    """The error message without usage text: from the line with [ERROR] to the next blank line."""
    text = re.sub(r"(?m)^(\s*)(?:neo-cli|aws):", r"\1aws:", text)
    if "[ERROR]" not in text:
        return re.sub(r"(?ms)^usage:.*?(?=^\S|\Z)", "", text).strip()
    start = text.index("aws: [ERROR]") if "aws: [ERROR]" in text else 0
    return re.split(r"\n\s*\n|\nusage:", text[start:])[0].strip()


def yaml_facts(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """A YAML skeleton without the prose: keys and values, [REQUIRED], valid values."""
    found = []
    for line in text.splitlines():
        body, _, comment = line.partition("#")
        found.append((body.rstrip(), tuple(re.findall(r"\[REQUIRED\]|Valid values are: [^.]*\.", comment))))
    return found


def differences(want: dict[str, Any], got: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs, recorded and now."""
    facts = yaml_facts if "note" in want else str
    pairs = {
        "rc": (want["rc"], got["rc"]),
        "stdout": (facts(want["stdout"]), facts(got["stdout"])),
        "stderr": (errors(want["stderr"]), errors(got["stderr"])),
        "requests": (_wire(want["requests"]), _wire(got["requests"])),
    }
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _wire(requests: list[dict[str, Any]]) -> list[tuple[Any, Any, Any]]:
    return [(r["target"], r["body"], r.get("scope")) for r in requests]
