"""The binary readers under coverage-guided fuzzing: python tests/fuzz/readers.py READER CPU_SECONDS [atheris' options].

A reader gets any bytes; it answers or refuses with its own error, and touches nothing else. Needs atheris
(pip install atheris). Prints how many inputs were tried; an input that breaks a reader is left as crash-* and then kept
in tests/fuzz/corpus/READER. `tests/fuzz/test_readers.py` runs a short form, and the corpus, without atheris.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import shutil
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

CFG = "[net]\nwidth=4\nheight=4\nchannels=3\n[convolutional]\nbatch_normalize=1\nfilters=2\nsize=1\nstride=1\npad=0\nactivation=leaky\n"


def params(file: Path) -> None:
    from neo_cli.frontends.mxnet_params import read_params
    from neo_cli.frontends.mxnet_symbol import FormatError

    try:
        read_params(file)
    except FormatError:
        return


def weights(file: Path) -> None:
    from neo_cli.base.errors import JobError
    from neo_cli.frontends.darknet import load
    from neo_cli.model.model import Source

    (file.parent / "net.cfg").write_text(CFG)
    try:
        load(Source("DARKNET", file.parent), None)
    except JobError:
        return


def tflite(file: Path) -> None:
    from neo_cli.frontends.tflite_file import Broken, read

    try:
        read(file)
    except Broken:
        return


def onnx(file: Path) -> None:
    from neo_cli.base.errors import JobError
    from neo_cli.frontends.onnx import load
    from neo_cli.model.model import Source

    try:
        load(Source("ONNX", file.parent), None)
    except JobError:
        return


def archive(file: Path) -> None:
    """The bytes are a tar; as gzip they would only ever fail the checksum."""
    from neo_cli.base.errors import InputError
    from neo_cli.packaging.unpack import Caps, unpack

    packed = file.with_suffix(".gz")
    packed.write_bytes(gzip.compress(file.read_bytes(), 1))
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        into = Path(folder) / "into"
        into.mkdir()
        try:
            unpack(packed, into, Caps(total=2**24))
        except InputError:
            pass
        assert [p.name for p in Path(folder).iterdir()] == ["into"]
        assert not [p for p in into.rglob("*") if p.is_symlink() or not (p.is_file() or p.is_dir())]


def pickled(file: Path) -> None:
    from neo_cli.model import unpickle
    from neo_cli.model.pickle_scan import Absurd, scan

    try:
        scan(file.read_bytes())
    except Absurd:
        pass
    try:
        unpickle.load(file, ("python", "numpy"))
    except Exception:  # who reads pickles expects anything, and makes one sentence of it
        return


def keras(file: Path) -> None:
    """What is looked at before Keras sees the file; HDF5's own library reads it."""
    from neo_cli.base.errors import InputError
    from neo_cli.frontends.keras_files import configuration

    try:
        configuration(file)
    except InputError:
        return


def zipped(file: Path) -> None:
    from neo_cli.base.errors import InputError
    from neo_cli.packaging.zips import check
    from neo_cli.runtime.untar import Caps

    try:
        check(file, Caps())
    except InputError:
        return


def exported(file: Path) -> None:
    from neo_cli.base.errors import InputError
    from neo_cli.frontends.pytorch_file import kind
    from neo_cli.frontends.pytorch_guard import refuse_code

    try:
        refuse_code(file, kind(file))
    except InputError:
        return


class Reader(NamedTuple):
    """What reads, the name its file has, honest bytes to start from."""

    read: Callable[[Path], None]
    name: str
    seed: Callable[[], bytes]


def _params_seed() -> bytes:
    import numpy as np

    from models import mxnet_symbols

    return mxnet_symbols.pack({"arg:w": np.arange(6, dtype=np.float32).reshape(2, 3), "aux:m": np.ones(2, np.float16)})


def _weights_seed() -> bytes:
    import struct

    import numpy as np

    return struct.pack("<iiiq", 0, 2, 0, 0) + np.linspace(0.1, 1, 4 * 2 + 6, dtype="<f4").tobytes()


def _tflite_seed() -> bytes:
    from models.tflite_zoo import MODELS

    with tempfile.TemporaryDirectory() as folder:
        MODELS["arithmetic"](Path(folder))
        return (Path(folder) / "model.tflite").read_bytes()


def _onnx_seed() -> bytes:
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1, 3], [1.0, 2.0, 3.0])
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])], "g", [value("x", TensorProto.FLOAT, [1, 3])],
        [value("y", TensorProto.FLOAT, [1, 3])], [weight],
    )  # fmt: skip
    model: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()
    return model


def _archive_seed() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name in ("model.onnx", "folder/weights.bin"):
            member = tarfile.TarInfo(name)
            member.size = 20
            tar.addfile(member, io.BytesIO(bytes(20)))
    return stream.getvalue()


def _pickle_seed() -> bytes:
    import numpy as np

    return pickle.dumps({"a": [1, 2.0, "x"], "b": np.arange(4.0), "c": ("y", None)})


def _keras_seed() -> bytes:
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w") as made:
        made.attrs["model_config"] = '{"class_name": "Sequential", "config": {"name": "s", "layers": []}}'
        made.create_dataset("model_weights/dense/kernel", data=[[1.0, 2.0]], compression="gzip")
    return stream.getvalue()


def _zip_seed() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("config.json", "{}" * 40)
        made.writestr("weights", bytes(range(99)))
    return stream.getvalue()


def _exported_seed() -> bytes:
    program = {
        "graph_module": {"graph": {"nodes": [{"target": "torch.ops.aten.add.Tensor", "inputs": [{"name": "self"}]}]}},
        "guards_code": ["L['x'].size()[0] <= 512"],
        "sizes": [{"expr_str": "Add(Symbol('s7'), Integer(1))"}],
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        made.writestr("m/archive_format", "pt2")
        made.writestr("m/models/model.json", json.dumps(program))
    return stream.getvalue()


READERS = {
    "params": Reader(params, "net.params", _params_seed),
    "weights": Reader(weights, "net.weights", _weights_seed),
    "tflite": Reader(tflite, "net.tflite", _tflite_seed),
    "onnx": Reader(onnx, "net.onnx", _onnx_seed),
    "archive": Reader(archive, "net.tar", _archive_seed),
    "pickle": Reader(pickled, "net.pkl", _pickle_seed),
    "keras": Reader(keras, "net.h5", _keras_seed),
    "zip": Reader(zipped, "net.keras", _zip_seed),
    "exported": Reader(exported, "net.pt2", _exported_seed),
}


def main() -> None:
    import atheris

    name, limit = sys.argv.pop(1), float(sys.argv.pop(1))
    reader = READERS[name]
    seed = reader.seed()
    work, corpus = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
    (corpus / "seed").write_bytes(seed)
    file = work / reader.name
    file.write_bytes(seed)
    with atheris.instrument_imports(include=["neo_cli"]):
        reader.read(file)

    tried = 0

    def one(data: bytes) -> None:
        nonlocal tried
        file.write_bytes(data)
        reader.read(file)
        tried += 1
        if time.process_time() > limit:
            print(f"{name}: {tried} inputs in {time.process_time():.0f} s of CPU", flush=True)
            shutil.rmtree(work), shutil.rmtree(corpus)
            os._exit(0)  # libFuzzer takes any other ending for a crash

    atheris.Setup([*sys.argv, str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
