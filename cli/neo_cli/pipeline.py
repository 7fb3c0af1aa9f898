"""The few lines everything exists for: load, verify, optimize, compile, check, choose, pack, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from neo_cli.backends import candidates, vendor
from neo_cli.base.errors import CompileError, InputError, JobError, TargetUnavailable, ValidationException
from neo_cli.base.paths import home
from neo_cli.base.table import lookup
from neo_cli.frontends import FRONTENDS
from neo_cli.model import proto
from neo_cli.model.build import Build
from neo_cli.model.inputs import parse
from neo_cli.model.model import Log, Model, Source
from neo_cli.model.verify import verify
from neo_cli.packaging import headers
from neo_cli.packaging.layout import conclude, lay_out
from neo_cli.packaging.pack import pack
from neo_cli.packaging.unpack import unpack
from neo_cli.passes import optimize
from neo_cli.report import choices
from neo_cli.report.check import Case, cases, check, typical
from neo_cli.report.contest import Decision, Entry, hold
from neo_cli.report.write import versions, write
from neo_cli.runtime import cpu
from neo_cli.runtime.model import thread_count
from neo_cli.targets.cpus import settled
from neo_cli.targets.devices import Target, absent, target_of
from neo_cli.targets.options import meanings, parse_options


@dataclass(frozen=True)
class Result:
    """What a compiled job leaves: two files, and the facts its record needs."""

    artifact: Path
    report: Path
    digest: str  # BLAKE2b of the artifact
    target: str
    derived: str | None  # the DataInputConfig, when the request left it out
    verified: str  # ran | emulated | compiled only


@dataclass
class _Job:
    """What the stages share: the request's meaning, and where time went."""

    target: Target
    options: Mapping[str, Any]
    archive: Path
    work: Path
    log: Log
    created: int
    cache: Path
    temps: Path | None
    seconds: dict[str, float] = field(default_factory=dict)
    passes: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    remembered: Mapping[str, Any] | None = None  # the contest that decided for this model before

    def stage(self, name: str) -> None:
        """Say that a stage begins, and how long the one before took."""
        now = time.monotonic()
        if self.seconds:
            last = next(reversed(self.seconds))
            self.seconds[last] = round(now - self.seconds[last], 3)
        self.seconds[name] = now
        self.log(f"stage: {name}")

    def keep(self, name: str, model: Model) -> None:
        """Note a stage's result for the report; save it where NEO_SAVE_TEMPS asks."""
        self.passes.append({"stage": name, **proto.statistics(model.graph)})
        if self.temps:
            proto.save(model.graph, self.temps / f"{len(self.passes)}-{name}.onnx")


def compile_job(
    request: Mapping[str, Any],
    archive: Path,
    work: Path,
    log: Log,
    *,
    environ: Mapping[str, str] | None = None,
    trusted: bool = False,
) -> Result:
    """Turn the archive into an artifact under `work/output` and say what was done; JobError tells why it cannot be."""
    job = _job(request, archive, work, log, environ or {})
    model = _load(request["InputConfig"], job, trusted)
    job.stage("optimize")
    model = optimize(model, job.target, log, job.keep)
    decision = _choose(model, request, job)
    return _publish(decision, model, job)


def _job(request: Mapping[str, Any], archive: Path, work: Path, log: Log, environ: Mapping[str, str]) -> _Job:
    output = request["OutputConfig"]
    target = target_of(output)
    if target is None:
        raise TargetUnavailable(absent(output))
    refusal = vendor.refusal(target)
    if refusal:
        raise TargetUnavailable(refusal)
    try:
        options = parse_options(output.get("CompilerOptions"), target, platform="TargetPlatform" in output)
    except ValidationException as error:
        raise InputError(error.message) from error
    options = settled(options, target)
    epoch = environ.get("SOURCE_DATE_EPOCH", "0")
    temps = environ.get("NEO_SAVE_TEMPS")
    return _Job(
        target, options, archive, work, log,
        created=int(epoch) if epoch.isdigit() else 0,
        cache=home("cache", environ) / "choices",
        temps=Path(temps) if temps else None,
    )  # fmt: skip


def _load(config: Mapping[str, Any], job: _Job, trusted: bool) -> Model:
    job.stage("load")
    root = job.work / "input"
    root.mkdir(parents=True)
    unpack(job.archive, root)
    shapes = parse(config.get("DataInputConfig"))
    options = {**job.options, "input_extras": shapes.extras} if shapes and shapes.extras else job.options
    source = Source(config["Framework"], root, config.get("FrameworkVersion"), options, trusted, log=job.log)
    load: Callable[..., Model] = lookup(FRONTENDS, config["Framework"])
    model = verify(load(source, shapes))
    job.keep("load", model)
    return model


def _choose(model: Model, request: Mapping[str, Any], job: _Job) -> Decision:
    """The candidate to pack; the one remembered for this model and CPU, when it still builds and passes."""
    runnable = cpu.runs(job.target.os, job.target.arch, job.target.features)
    names = candidates.names(job.target, job.options)
    places = ("S3Uri", "S3OutputLocation")
    asked = {
        part: {k: v for k, v in request[part].items() if k not in places} for part in ("InputConfig", "OutputConfig")
    }
    key = choices.key(choices.digest_of(job.work / "input"), job.target.name, asked, thread_count(None), versions())
    earlier = choices.recall(job.cache, key)
    if earlier and earlier["backend"] in names:
        job.log(f"back end {earlier['backend']} won for this model on this CPU before; the others are not tried again")
        names = (earlier["backend"],)
        job.remembered = earlier
    job.stage("check: answers of the source")
    feeds = cases(model, job.log)
    job.stage("compile")
    attempts = candidates.attempts(model, job.target, job.options, names, job.work / "build", job.log)
    decision = hold(attempts, _layouts(model, job), model, feeds, job.options.get("gate"), runnable, job.log)
    if runnable and len(names) > 1:
        fault = choices.remember(
            job.cache, key, {"backend": decision.chosen.backend, "candidates": [e.record() for e in decision.entries]}
        )
        if fault:
            job.log(f"the choice is not remembered: {fault}")
    _accelerated(decision.chosen, model, feeds, job)
    return decision


def _accelerated(chosen: Entry, model: Model, feeds: list[Case], job: _Job) -> None:
    """Put the first GPU part that compiles, and passes where it can be run, beside the chosen CPU part."""
    if chosen.build is None:
        return
    for attempt in candidates.accelerators(model, job.target, job.options, job.work / "build"):
        part, fault = attempt.build, attempt.error
        if part and part.emulate:
            try:
                check(part.emulate, model, [typical(feeds)], part.precision, job.options.get("gate"))
            except JobError as wrong:
                fault = wrong
            except (RuntimeError, OSError) as broken:
                fault = CompileError(f"the GPU part does not run: {broken}")
        if part is None or fault:
            job.log(f"accelerator {attempt.backend}: {fault.message if fault else 'nothing was made'}")
            job.notes.append(f"No GPU code by {attempt.backend}: {fault.message if fault else 'nothing was made'}")
            continue
        part = replace(part, verified="emulated" if part.emulate else "compiled only")
        job.log(f"accelerator {part.backend}: beside the CPU part, {part.verified} {part.emulator}".rstrip())
        chosen.build = replace(chosen.build, accelerator=part)
        chosen.folder = lay_out(chosen.build, model, job.target, job.created, job.work / "layout" / "accelerated")
        return


def _layouts(model: Model, job: _Job) -> Callable[[Build], Path]:
    def prepare(build: Build) -> Path:
        folder = job.work / "layout" / build.backend
        headers.check(build.files.values(), job.target)
        if job.temps:
            for name, file in build.temps.items():
                place = job.temps / build.backend / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(file.read_bytes())
        return lay_out(build, model, job.target, job.created, folder)

    return prepare


def _publish(decision: Decision, model: Model, job: _Job) -> Result:
    job.stage("pack")
    chosen, stem = decision.chosen, job.archive.name.removesuffix(".gz").removesuffix(".tar")
    artifact = job.work / "output" / f"{stem}-{job.target.name}.tar.gz"
    assert chosen.folder is not None
    conclude(chosen.folder, decision.verified)
    digest = pack(chosen.folder, artifact, job.created)
    job.log(f"packed {chosen.backend}: {artifact.name}, {artifact.stat().st_size / 1e6:.2f} MB, BLAKE2b {digest[:16]}…")
    job.stage("done")
    job.seconds.pop("done")
    report = write(
        artifact.with_name(f"{stem}-{job.target.name}.report.json"),
        {
            "artifact": artifact.name,
            "digest": digest,
            "target": job.target.name,
            "framework": model.source.framework,
            "options": dict(job.options),
            "inputs": [t.record() for t in model.inputs],
            "outputs": [t.record() for t in model.outputs],
            "derived": model.derived,
            "verified": decision.verified,
            "chosen": chosen.backend,
            "accelerator": chosen.record().get("accelerator"),
            "candidates": [entry.record() for entry in decision.entries],
            "remembered": job.remembered,
            "passes": job.passes,
            "stage_seconds": job.seconds,
            "notes": [*job.target.notes, *meanings(job.options, job.target), *job.notes],
        },
    )
    return Result(artifact, report, digest, job.target.name, model.derived, decision.verified)
