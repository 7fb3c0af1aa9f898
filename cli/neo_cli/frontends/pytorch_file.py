"""What a PyTorch file is, told from the names in its zip archive and from its pickle's opcodes: nothing is loaded."""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neo_cli.base.errors import InputError
from neo_cli.frontends.pytorch_guard import CANNOT, UNREADABLE
from neo_cli.model.pickle_scan import scan

WRONG = "Please make sure the framework you select is correct."
SUFFIXES = (".pth", ".pt", ".pt2")
LFS = b"version https://git-lfs"
DTYPES = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "LongStorage": "int64", "IntStorage": "int32",
    "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8", "BoolStorage": "bool",
}  # fmt: skip
# What a pickled dictionary of tensors needs; a name beyond these means classes of the user's own code.
PLAIN = {
    "collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "torch _utils._rebuild_tensor_v2",
    *(f"torch {name}" for name in DTYPES), "torch BFloat16Storage", "torch Size", "torch storage.UntypedStorage", "torch.storage UntypedStorage",
}  # fmt: skip


@dataclass(frozen=True)
class Traced:
    """One example input a traced module was saved with."""

    shape: tuple[int, ...]
    dtype: str


def model_file(root: Path) -> Path:
    """The archive's one PyTorch file; InputError in Neo's words when there is none, or another."""
    found = sorted(p for p in root.rglob("*") if p.suffix in SUFFIXES and p.is_file())
    if not found:
        raise InputError(f"No pth file found for PyTorch model. {WRONG}")
    if len(found) > 1:
        raise InputError("Exactly one .pth file is allowed for PyTorch models.")
    return found[0]


def kind(path: Path) -> str:
    """ "torchscript" or "exported"; InputError that says what else the file is and what to save instead."""
    with path.open("rb") as stream:
        head = stream.read(64)
    if head.startswith(LFS):
        raise InputError(
            f"{CANNOT} {path.name} is a Git LFS pointer and not the model itself; run 'git lfs pull' and make the archive again."
        )
    if not zipfile.is_zipfile(path):
        if head[:1] == b"\x80":
            raise InputError(f"{CANNOT} {path.name} is a pickle of an old torch.save. {_instead()}")
        raise InputError(f"{CANNOT} {path.name} is no TorchScript archive. {_instead()}")
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n.split("/", 1)[-1] for n in archive.namelist()]
            whole = archive.namelist()
            if (
                any(n == "archive_format" or n.endswith("/archive_format") for n in whole)
                or "models/model.json" in names
            ):
                return "exported"
            if "constants.pkl" in names and any(n.startswith("code/") for n in names):
                return "torchscript"
            pickles = [n for n in whole if n.endswith("data.pkl")]
            globals_ = _globals(archive.read(pickles[0])) if pickles else None
    except UNREADABLE as error:
        raise InputError(f"{CANNOT} {path.name} is a broken zip archive: {error}.") from error
    if globals_ is None:
        raise InputError(f"{CANNOT} {path.name} is a zip archive without a PyTorch model. {_instead()}")
    if globals_ <= PLAIN:
        raise InputError(f"{CANNOT} {path.name} holds a state dict: weights only, no graph. {_instead()}")
    raise InputError(
        f"{CANNOT} {path.name} is a pickled torch.nn.Module, which needs the Python code of its classes. {_instead()}"
    )


def _instead() -> str:
    return "Save the model with torch.jit.trace(model.eval(), example).save('model.pth'), or with torch.export.save."


def _globals(data: bytes) -> set[str]:
    """The names a pickle would import, found by reading its opcodes."""
    scan(data)
    found: set[str] = set()
    strings: list[str] = []
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name == "GLOBAL":
            found.add(str(argument))
        elif opcode.name == "STACK_GLOBAL" and len(strings) >= 2:
            found.add(f"{strings[-2]} {strings[-1]}")
        elif isinstance(argument, str):
            strings.append(argument)
    return found


def traced_inputs(path: Path) -> list[Traced] | None:
    """Shapes and dtypes of the example inputs that torch.jit.trace kept in the file; None for scripted modules."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if n.endswith("traced_inputs.pkl")]
            if not names:
                return None
            data = archive.read(names[0])
        scan(data)
        held = _Reader(io.BytesIO(data)).load()
    except UNREADABLE:
        return None  # an example that is no plain list of tensors: the request must say the shapes
    groups = held.values() if isinstance(held, dict) else [held]
    for group in groups:
        tensors = list(group) if isinstance(group, list | tuple) else [group]
        if tensors and all(isinstance(t, Traced) for t in tensors):
            return tensors
    return None


class _Reader(pickle.Unpickler):
    """Reads a pickle of tensors as Traced records; every other name is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, *rest: Traced(tuple(size), storage)
        if (module, name) == ("torch.jit._pickle", "restore_type_tag"):
            return lambda value, tag: value
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, reference: Any) -> str:
        return str(reference[1])
