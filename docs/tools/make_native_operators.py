"""Writes docs/native_operators.md: what the native compiler does of each operator, from a run of ONNX's own node tests."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from backends.native.node_cases import EXCEPTIONS, applicable, load  # noqa: E402
from backends.native.test_ops_nodes import outcomes  # noqa: E402
from neo_cli.backends.native import operators  # noqa: E402
from neo_cli.backends.native.ops.expand import CONTROL  # noqa: E402
from neo_cli.backends.native.ops.expansions import EXPANSIONS  # noqa: E402


def page(found: dict[str, str]) -> str:
    """The page for outcomes by test name."""
    cases = applicable()
    passed = Counter(c.operator for c in cases if not found[c.name])
    total = Counter(c.operator for c in cases)
    aside = Counter(c.why for c in load() if c.why)
    good = sum(passed.values())
    lines = [
        "# Operators of the native compiler",
        "",
        "Written by `python docs/tools/make_native_operators.py` from a run of the node tests that the onnx package brings; do not edit.",
        "",
        f"**{good} of {len(cases)} applicable node tests pass ({100 * good / len(cases):.1f} %).** "
        f"Not applicable are {sum(aside.values())}: " + ", ".join(f"{n} {why}" for why, n in aside.most_common()) + ".",
        "",
        "A case applies when its tensors are numbers; inputs that decide shapes (axes, sizes, pads) are made constants, as they are in",
        "exported networks. Operators that ONNX defines by other operators are compiled through that definition where they have no rule;",
        "sequences of tensors whose places are known are gone when the model runs.",
        "",
        "No other generator fills in what is missing here: of standard operators of static shape, emx-onnx-cgen 1.4.0 has beyond these only",
        "random numbers, image files, text and training, whose results ONNX Runtime does not share or this compiler has no type for.",
        "Operators of com.microsoft are taken where ONNX Runtime's own CPU code has them, so that each is compared with it: BiasAdd,",
        "BiasSoftmax, QLinearReduceMean, Rfft and Irfft have none.",
        "",
        "## Cases that do not pass",
        "",
        "| case | reason |",
        "|---|---|",
        *(f"| {name} | {EXCEPTIONS.get(name, why)} |" for name, why in sorted(found.items()) if why),
        "",
        "## Cases by operator",
        "",
        "| operator | pass | of |",
        "|---|---|---|",
        *(f"| {name} | {passed[name]} | {total[name]} |" for name in sorted(total)),
        "",
        "## Rules",
        "",
        f"Known before they run (their course becomes ordinary nodes): {', '.join(CONTROL)}. Of an If that the data decides both branches",
        "are computed, where none of them reads at places that its inputs name.",
        "",
    ]
    table = operators.load()
    for domain in sorted({d for d, _ in table}):
        names = sorted(name for d, name in table if d == domain and "." not in name)
        lines += [f"**{domain or 'ai.onnx'}** ({len(names)}): {', '.join(names)}.", ""]
    lines += ["Written out in ordinary nodes, which fusion and the kernels above take:", ""]
    for domain in sorted({d for d, _ in EXPANSIONS}):
        names = sorted(name for d, name in EXPANSIONS if d == domain)
        lines += [f"**{domain or 'ai.onnx'}** ({len(names)}): {', '.join(names)}.", ""]
    return "\n".join(lines)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = outcomes(list(applicable()), Path(folder), 1)
    (ROOT / "docs" / "native_operators.md").write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
