"""A build laid out as an artifact's folder: the back end's files in the root, everything of ours under meta/."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from neo_cli.base.errors import InternalError
from neo_cli.model.build import Build
from neo_cli.model.model import Model
from neo_cli.model.work import useful_threads
from neo_cli.runtime import archive
from neo_cli.targets.devices import Target

META = "compiled.meta"
_ARCHS = {"armhf": "ARM_EABIHF", "armel": "ARM_EABI"}  # the API's names, where they are not ours in capitals


def lay_out(build: Build, model: Model, target: Target, created: int, folder: Path) -> Path:
    """`folder` with everything the artifact will hold; nothing in it depends on when or where it was made."""
    folder.mkdir(parents=True)
    both = [build.files, build.accelerator.files if build.accelerator else {}]
    for name, file in (pair for files in both for pair in files.items()):
        if (folder / name).exists():
            raise InternalError(f"The CPU part and the accelerator part both want a root file called '{name}'.")
        parts = PurePosixPath(name).parts
        if (
            name.startswith("/")
            or ".." in parts
            or parts[0].startswith(".")
            or parts[0] in (META, archive.MANIFEST, "meta")
        ):
            raise InternalError(f"The back end {build.backend} wants a root file called '{name}'.")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / name)
    (folder / META).write_text(json.dumps(_meta(model, target, created), indent=4), encoding="utf-8")
    record = folder / archive.RECORD
    record.parent.mkdir()
    record.write_text(json.dumps(_record(build, model, target), indent=1) + "\n", encoding="utf-8")
    (folder / archive.MANIFEST).write_text(json.dumps(_manifest(folder)), encoding="utf-8")
    return folder


def conclude(folder: Path, verified: str) -> None:
    """Write into compiled.meta how the artifact was verified, and the manifest anew."""
    meta = json.loads((folder / META).read_text(encoding="utf-8"))
    meta["Compilation"]["Verified"] = verified
    (folder / META).write_text(json.dumps(meta, indent=4), encoding="utf-8")
    (folder / archive.MANIFEST).write_text(json.dumps(_manifest(folder)), encoding="utf-8")


def _meta(model: Model, target: Target, created: int) -> Mapping[str, Any]:
    """compiled.meta as Neo writes it."""
    return {
        "Requirements": {
            "TargetPlatformOs": target.os.upper(),
            "TargetPlatformArch": _ARCHS.get(target.arch, target.arch.upper()),
            "TargetDeviceType": target.device_type,
        },
        "Compilation": {"CreatedTime": created},
        "Model": {
            "Inputs": [{"name": t.name, "shape": list(t.shape), "dtype": t.dtype} for t in model.inputs],
            "Outputs": [{"dtype": t.dtype, "shape": list(t.shape), "name": t.name} for t in model.outputs],
        },
    }


def _record(build: Build, model: Model, target: Target) -> Mapping[str, Any]:
    """meta/artifact.json: what the runtime must know."""
    part = build.accelerator
    told = ("engine", "backend", "precision", "verified")
    threads = useful_threads(model.graph)
    small = {"threads": threads} if threads else {}
    beside = (
        {
            "accelerator": {
                **{k: getattr(part, k) for k in told},
                "settings": dict(part.settings),
                "device": target.accelerator or "GPU",
            }
        }
        if part
        else {}
    )
    return {
        **small,
        **beside,
        "format": archive.FORMAT,
        "engine": build.engine,
        "backend": build.backend,
        "settings": dict(build.settings),
        "precision": build.precision,
        "target": target.name,
        "os": target.os,
        "arch": target.arch,
        "cpu_features": list(build.cpu_features),
        "inputs": [t.record() for t in model.inputs],
        "outputs": [t.record() for t in model.outputs],
        "framework": model.source.framework,
    }


def _manifest(folder: Path) -> Mapping[str, Any]:
    names = sorted({p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {archive.MANIFEST})
    return {"algorithm": "blake2s", "files": [{"name": n, "hash": archive.hash_of(folder / n)} for n in names]}
