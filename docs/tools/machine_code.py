"""The loops of compiled functions, from the compiler's own listing: what they consist of."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from neo_cli.backends.native import build
from neo_cli.backends.native.cpus import Cpu
from neo_cli.targets.devices import Target

_FMA = re.compile(r"^(vfn?m(add|sub)\d+ps|mulps|vmulps|fmla|vmla\.f32|vfma\.f32)$")
_SPILL = re.compile(r"(\d+)-byte (?:Folded )?(?:Spill|Reload)")
_LABEL = re.compile(r"^(\.L\w+):")
_BRANCH = re.compile(r"^(j\w+|b|b\.\w+|b(?:ne|eq|lt|gt|le|ge|lo|hi|hs|ls|mi|pl)|cbn?z|tbn?z)$")


@dataclass(frozen=True)
class Mix:
    """Instructions of one turn of a loop. An x86 product whose operand lies in memory is a load too."""

    instructions: int
    fma: int
    loads: int
    stores: int
    spills: int  # vectors that go to the stack or come back from it


def listing(text: str, target: Target, cpu: Cpu, work: Path) -> str:
    """The assembly of a library's C text, made with the library's flags."""
    source, made = work / "listing.c", work / "listing.s"
    source.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "ziglang", "cc", *build.flags(target, cpu), "-fPIC", "-S"]
    subprocess.run([*command, "-o", str(made), str(source)], check=True, capture_output=True, cwd=work)
    return made.read_text(encoding="utf-8")


def functions(assembly: str) -> dict[str, list[str]]:
    """The lines of each function, by name."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in assembly.splitlines():
        start = re.match(r"^([A-Za-z_]\w*):", line)
        if start:
            name = start[1]
            found[name] = []
        elif line.startswith(".Lfunc_end"):
            name = ""
        elif name:
            found[name].append(line)
    return found


def hot_loop(lines: Sequence[str]) -> list[str]:
    """Of the loops that have no loop with products inside, the one with the most products; empty without any."""
    spans = _spans(lines)
    with_products = [(a, b) for a, b in spans if mix(lines[a : b + 1]).fma]
    inner = [
        (a, b) for a, b in with_products if not any((c, d) != (a, b) and a <= c and d <= b for c, d in with_products)
    ]
    if not inner:
        return []
    counted = {span: mix(lines[span[0] : span[1] + 1]) for span in inner}
    start, end = max(inner, key=lambda span: (counted[span].fma, -counted[span].instructions))
    return list(lines[start : end + 1])


def _spans(lines: Sequence[str]) -> list[tuple[int, int]]:
    """From a label to the last branch back to it."""
    labels = {match[1]: i for i, line in enumerate(lines) if (match := _LABEL.match(line))}
    ends: dict[int, int] = {}
    for i, line in enumerate(lines):
        name, operands = _parts(line)
        target = operands.split(",")[-1].strip()
        if _BRANCH.match(name) and labels.get(target, i + 1) <= i:
            ends[labels[target]] = i
    return list(ends.items())


def readable(lines: Sequence[str]) -> list[str]:
    """Instructions and labels, without the compiler's remarks, except that a line spills."""
    kept = []
    for line in lines:
        label = _LABEL.match(line)
        name, operands = _parts(line)
        spill = next((f"  <- {word.lower()}" for word in ("Spill", "Reload") if word in line), "")
        if label or name:
            kept.append(label[0] if label else f"    {name:12} {operands}{spill}".rstrip())
    return kept


def _parts(line: str) -> tuple[str, str]:
    """An instruction's name and operands; empty for labels, directives and comments."""
    text = re.split(r"\s[#@](?=\s|$)|\s//", line)[0].strip()  # "#16" is a number to ARM
    if not text or text.endswith(":") or text.startswith((".", "#", "@", "//")):
        return "", ""
    name, _, operands = text.partition("\t")
    return name.strip(), operands.strip()


def mix(lines: Sequence[str]) -> Mix:
    """What some lines of assembly (x86 in AT&T's notation, or ARM's) consist of."""
    count = dict.fromkeys(("instructions", "fma", "loads", "stores", "spills"), 0)
    for line in lines:
        name, operands = _parts(line)
        if not name:
            continue
        count["instructions"] += 1
        count["fma"] += bool(_FMA.match(name))
        spilled = _SPILL.search(line)
        count["spills"] += spilled is not None and int(spilled[1]) >= 16
        if name.startswith(("lea", "prefetch", "prfm", "cmp", "test")):
            continue
        if "[" in operands:  # ARM
            count["stores" if name.startswith(("st", "vst")) else "loads"] += 1
        elif "(" in operands:
            last = re.split(r",(?![^(]*\))", operands)[-1]
            count["stores" if "(" in last else "loads"] += 1
    return Mix(**count)
