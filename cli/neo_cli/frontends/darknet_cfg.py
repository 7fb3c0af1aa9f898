"""Darknet's .cfg as typed sections, and its .weights as one checked stream of floats."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from neo_cli.base.errors import InputError

MAX_CFG = 4 * 2**20  # the largest published cfg has 60 kB
MAX_LAYERS = 10_000
KEYLESS = ("net", "network")


class CfgError(ValueError):
    """The cfg or the weights are not what Darknet would accept; the text says where."""


@dataclass(frozen=True)
class Section:
    """One `[kind]` of a cfg; `index` counts layers as Darknet does (the [net] section is -1)."""

    kind: str
    index: int
    values: dict[str, str] = field(default_factory=dict)

    @property
    def where(self) -> str:
        return f"layer {self.index} [{self.kind}]" if self.index >= 0 else f"[{self.kind}]"

    def whole(self, key: str, default: int = 0) -> int:
        text = self.values.get(key)
        if text is None:
            return default
        try:
            return int(float(text))
        except (ValueError, OverflowError):
            raise CfgError(f"{self.where}: {key}={text} is not an integer.") from None

    def number(self, key: str, default: float = 0.0) -> float:
        text = self.values.get(key)
        if text is None:
            return default
        try:
            return float(text)
        except ValueError:
            raise CfgError(f"{self.where}: {key}={text} is not a number.") from None

    def positive(self, key: str, default: int) -> int:
        value = self.whole(key, default)
        if not 1 <= value <= 2**24:
            raise CfgError(f"{self.where}: {key}={value} must be at least 1.")
        return value

    def text(self, key: str, default: str = "") -> str:
        return self.values.get(key, default)

    def floats(self, key: str) -> list[float]:
        try:
            return [float(v) for v in self.text(key).split(",") if v.strip()]
        except ValueError:
            raise CfgError(f"{self.where}: {key}={self.text(key)} is not a list of numbers.") from None

    def ints(self, key: str) -> list[int]:
        values = self.floats(key)
        if any(v != v or abs(v) > 2**31 for v in values):
            raise CfgError(f"{self.where}: {key}={self.text(key)} is not a list of integers.")
        return [int(v) for v in values]


def parse_cfg(text: str) -> tuple[Section, list[Section]]:
    """The [net] section and the layers. As in Darknet, the first of two equal keys counts."""
    sections: list[Section] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.split("#")[0].split(";")[0].strip()
        if not line:
            continue
        if line.startswith("["):
            kind, closed, rest = line[1:].partition("]")
            if not closed or rest.strip():
                raise CfgError(f"line {number} is no section: {line[:60]}")
            sections.append(Section(kind.strip().lower(), len(sections) - 1))
        elif not sections:
            raise CfgError("the first section must be [net] or [network].")
        else:
            key, equals, value = line.partition("=")
            if not equals:
                raise CfgError(f"line {number} is neither a section nor key=value: {line[:60]}")
            sections[-1].values.setdefault(key.strip(), value.strip())
    if not sections or sections[0].kind not in KEYLESS:
        raise CfgError("the first section must be [net] or [network].")
    if len(sections) == 1:
        raise CfgError("the network has no layers.")
    if len(sections) > MAX_LAYERS:
        raise CfgError(f"the network has more than {MAX_LAYERS} layers.")
    return sections[0], sections[1:]


def read_cfg(path: Path) -> tuple[Section, list[Section]]:
    if path.stat().st_size > MAX_CFG:
        raise CfgError(f"{path.name} is larger than {MAX_CFG // 2**20} MiB.")
    return parse_cfg(path.read_text(encoding="utf-8", errors="replace"))


class Weights:
    """The floats of a .weights file, taken from the front, and never more of them than there are."""

    def __init__(self, path: Path) -> None:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(20)
        if len(head) < 16:
            raise CfgError(f"{path.name} ends inside its header.")
        major, minor, _ = struct.unpack("<3i", head[:12])
        if not (0 <= major < 10_000 and 0 <= minor < 10_000):
            raise CfgError(f"{path.name} does not begin with Darknet's version numbers.")
        # `seen` became 64 bits wide with version 0.2
        start = 20 if major * 10 + minor >= 2 else 16
        if size < start or (size - start) % 4:
            raise CfgError(f"{path.name} does not hold a whole number of float32 values.")
        self.version = f"{major}.{minor}"
        self.transposed = major > 1000 or minor > 1000
        self.name = path.name
        count = (size - start) // 4
        self._data = np.memmap(path, "<f4", "r", start, (count,)) if count else np.zeros(0, np.float32)
        self._at = 0

    def take(self, where: str, *shape: int) -> np.ndarray:
        """The next values as an array of `shape`. Raises CfgError when the file ends before that."""
        count = 1
        for size in shape:
            count *= size
        if self._at + count > len(self._data):
            raise CfgError(
                f"{self.name} ends in {where}: the cfg needs {self._at + count} values up to there, "
                f"the file has {len(self._data)}. The cfg and the weights do not belong together."
            )
        part = self._data[self._at : self._at + count].reshape(shape)
        self._at += count
        return part

    def finish(self) -> None:
        """Raises CfgError when values are left over: then every layer's weights are in doubt."""
        left = len(self._data) - self._at
        if left:
            raise CfgError(
                f"{self.name} has {left} values more than the cfg uses ({self._at}). "
                "The cfg and the weights do not belong together."
            )


def only(root: Path, suffix: str) -> Path:
    """The one file of that suffix in the archive, with Neo's words where there is none or more than one."""
    found = sorted(p for p in root.rglob(f"*{suffix}") if p.is_file() and not p.name.startswith("."))
    if not found:
        raise InputError(
            f"No {suffix} file found for DarkNet model. Please make sure the framework you select is correct."
        )
    if len(found) > 1:
        raise InputError(f"Exactly one {suffix} file is allowed for DarkNet models.")
    return found[0]
