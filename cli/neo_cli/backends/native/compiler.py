"""The compiler's stages in order: import, fuse, lay out, lower and plan, build."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neo_cli.backends.native import bands, check, choices, dlr, emulate, fusion, importer, layout, tuning, verify
from neo_cli.backends.native import build as builder
from neo_cli.backends.native.cpus import Cpu, cpu_of
from neo_cli.backends.native.emit import Program, emit
from neo_cli.backends.native.fast import halves
from neo_cli.backends.native.ops import chains
from neo_cli.model import proto
from neo_cli.model.build import Build
from neo_cli.model.feeds import seeded
from neo_cli.model.model import Model
from neo_cli.targets.devices import Target

NAME = "native"
PARAMS = "compiled.params"
WINOGRAD = {"auto": 4, "4": 4, "2": 2, "off": 0}  # the largest tiles that 3x3 convolutions may use


@dataclass
class Stages:
    """The text of each stage, kept for NEO_SAVE_TEMPS."""

    folder: Path
    files: dict[str, Path] = field(default_factory=dict)

    def keep(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        self.files[name] = path


def lower(
    model: Model, cpu: Cpu, target: Target, options: Mapping[str, Any], stages: Stages, keep: bool = False
) -> Program:
    """The model as C with its plan; every stage's result is verified. `keep` leaves each tensor readable afterwards."""
    graph = verify.graph(importer.load(model), "import")
    stages.keep("1-import.txt", graph.text())
    graph = verify.graph(fusion.fuse(graph, cpu), "fusion")
    for node in (n for n in graph.nodes if n.op == "fast.Conv"):
        node.attrs.setdefault("winograd", WINOGRAD[str(options.get("winograd", "auto"))])
    stages.keep("2-fusion.txt", graph.text())
    graph = verify.graph(layout.lay_out(graph, cpu), "layout")
    if options.get("bands", "auto") != "off":
        graph = verify.graph(bands.band(graph, cpu), "bands")
    graph = verify.graph(chains.fuse(graph), "chains")
    stages.keep("3-layout.txt", graph.text())
    program = emit(graph, cpu, target.features, keep)
    verify.program(program, "emit")
    stages.keep("4-memory.txt", program.plan.text())
    stages.keep("5-compiled.c", program.text)
    return program


def compile(model: Model, target: Target, options: Mapping[str, Any], work: Path) -> Build:
    """One library and its weights for `target`, under `work`; a fat artifact has a folder for each higher level."""
    targets = tuning.levels(target, options, proto.precision_of(model.graph))
    files: dict[str, Path] = {}
    variants: list[dict[str, Any]] = []
    notes: list[str] = []
    temps: dict[str, Path] = {}
    emulated = None
    for level in targets:
        folder = work / level.cpu if len(targets) > 1 else work
        folder.mkdir(exist_ok=True)
        cpu, stages, place = cpu_of(level), Stages(folder), "" if not variants else f"{level.cpu}/"
        program = lower(model, cpu, level, options, stages)
        params, weights = _weights(program, folder, place, bool(options.get("embed_weights")))
        built = builder.library(program.text, level, cpu, folder)
        files |= {place + built.name: built, **params}
        variants.append({"library": place + built.name, **weights, "features": list(level.features)})
        notes.append(f"{cpu.name} code, {built.stat().st_size} bytes, {program.plan.shared} bytes of scratch")
        notes += filter(None, [choices.told(program.graph)])
        made = halves.used(program.graph)
        temps |= {place + name: path for name, path in stages.files.items()}
        if options.get("check_all"):
            notes.append(_checked(model, cpu, level, options, folder))
        source = params.get(place + PARAMS, Path(os.devnull))
        emulated = emulated or emulate.runner(program, level, cpu, source, folder)
    plain = len(targets) == 1 and params and not cpu.tiles  # DLR asks for no tile registers
    if plain and all(proto.FREE not in t.shape for t in model.inputs):
        files[dlr.FILE] = dlr.write(program, work / dlr.FILE)
    settings = {k: v for k, v in variants[0].items() if k != "features"}
    if len(variants) > 1:
        settings["variants"] = variants
    return Build(
        backend=NAME,
        engine=NAME,
        files=files,
        settings=settings,
        precision="bfloat16" if made else "float32",
        cpu_features=targets[0].features,
        notes=tuple(notes),
        temps=temps,
        emulate=emulated,
        emulator=emulate.told(target) if emulated else "",
    )


def _weights(program: Program, folder: Path, place: str, embed: bool) -> tuple[dict[str, Path], dict[str, Any]]:
    """The weights' file and the runtime's settings for it; neither when the library itself is to hold them."""
    if embed:
        program.text = f'#define EMBEDDED "{program.weights.embed(folder)}"\n{program.text}'
        return {}, {}
    offset = program.weights.write(folder / PARAMS)
    return {place + PARAMS: folder / PARAMS}, {"weights": place + PARAMS, "weights_offset": offset}


def _checked(model: Model, cpu: Cpu, target: Target, options: Mapping[str, Any], work: Path) -> str:
    """Compare every named tensor with ONNX Runtime's; needs a machine that runs the target's code."""
    folder = work / "check"
    folder.mkdir(exist_ok=True)
    program = lower(model, cpu, target, options, Stages(folder), keep=True)
    _, feed = next(seeded(model))
    check.check_plan(
        lower(model, cpu, target, options, Stages(folder)), program, emulate.as_linux(target), cpu, feed, folder
    )
    tolerance = check.TOLERANCES["bfloat16" if halves.used(program.graph) else "float32"]
    errors = check.check_all(model, program, emulate.as_linux(target), cpu, feed, folder, tolerance)
    worst = max(errors, key=lambda name: errors[name])
    return f"{len(errors)} tensors compared with ONNX Runtime, the largest error {errors[worst]:.1e} in '{worst}'"
