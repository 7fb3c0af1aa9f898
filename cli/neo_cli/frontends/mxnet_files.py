"""Which files of an archive are the MXNet model, by Neo's rules and with Neo's words."""

from __future__ import annotations

import json
import re
from pathlib import Path

from neo_cli.base.errors import InputError
from neo_cli.frontends.mxnet_symbol import FormatError
from neo_cli.model.model import Log

NOT_SYMBOLS = ("model-shapes.json", "hyperparams.json", "amba_config.json", "model-metadata.json")
RIGHT = "Please make sure the framework you select is correct."


def pick_symbol(root: Path) -> Path:
    """The one symbol file; of several the one Autopilot calls model0."""
    found = sorted(p for p in _files(root, ".json") if p.name not in NOT_SYMBOLS)
    if not found:
        raise InputError(f"No symbol file found for MXNet model. {RIGHT}")
    if len(found) > 1:
        found = [p for p in found if p.name.startswith("model0")]
        if len(found) != 1:
            raise InputError(f"Only one symbol file is allowed for MXNet model. {RIGHT}")
    return found[0]


def pick_params(root: Path, symbol: Path, log: Log) -> Path:
    """The parameter file with the symbol's prefix; of several epochs the highest, which is logged."""
    found = _files(root, ".params")
    if not found:
        raise InputError(f"No parameter file found for MXNet model. {RIGHT}")
    prefix = symbol.name.removesuffix(".json").removesuffix("-symbol")
    epochs = {p: _epoch(p, prefix) for p in found}
    fitting = [p for p, epoch in epochs.items() if epoch is not None]
    if not fitting:
        raise InputError(
            f"No parameter file found for MXNet model: {symbol.name} "
            "Please make sure the prefix of params file match the prefix of symbol file."
        )
    best = max(fitting, key=lambda p: (epochs[p] or 0, str(p)))
    if len(fitting) > 1:
        log(
            "InputConfiguration: Multiple parameter files found for MXNet model. "
            f"Parameter file: {best.name} will be used."
        )
    return best


def written_shapes(root: Path) -> dict[str, tuple[int, ...]]:
    """Input shapes that SageMaker's built-in algorithms leave in model-shapes.json; empty without one."""
    shapes: dict[str, tuple[int, ...]] = {}
    for file in (p for p in _files(root, ".json") if p.name == "model-shapes.json"):
        try:
            entries = json.loads(file.read_bytes()[: 2**20])
            for entry in entries:
                shapes[str(entry["name"])] = tuple(int(v) for v in entry["shape"])
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
            raise FormatError(f"{file.name} is no list of names and shapes: {str(error)[:100]}") from None
    return shapes


def _files(root: Path, suffix: str) -> list[Path]:
    return sorted(p for p in root.rglob(f"*{suffix}") if p.is_file() and not p.name.startswith("."))


def _epoch(path: Path, prefix: str) -> int | None:
    stem = path.name.removesuffix(".params")
    if stem == prefix:
        return 0
    match = re.fullmatch(re.escape(prefix) + r"-(\d{1,9})", stem)
    return int(match[1]) if match else None
