"""Which TensorFlow model an archive holds, and what its graph does, told from protobufs alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neo_cli.base.errors import InputError

WRONG = "Please make sure the framework you select is correct."
LOAD = "Framework cannot load Tensorflow model:"
VARIABLES = "variables"


def find(root: Path) -> Path:
    """The SavedModel's folder (it wins), or the one .pb or .pbtxt file; InputError in Neo's words otherwise."""
    files = [p for p in sorted(root.rglob("*")) if p.is_file()]
    if any(p.name == "checkpoint" for p in files):
        raise InputError(f"TF Checkpoints are not supported. {WRONG}")
    graphs = [p for p in files if p.suffix in (".pb", ".pbtxt")]
    saved = sorted({p.parent for p in graphs if p.stem == "saved_model" or (p.parent / VARIABLES).is_dir()})
    if len(saved) > 1:
        raise InputError("Exactly one saved model is allowed for TensorFlow models.")
    if saved:
        return saved[0]
    graphs = [p for p in graphs if p.stem not in ("fingerprint", "keras_metadata")]
    if len(graphs) > 1:
        raise InputError("Exactly one .pb or .pbtxt file is allowed for TensorFlow models.")
    if not graphs:
        raise InputError(f"No valid TensorFlow model found in input files. {WRONG}")
    return graphs[0]


def saved_model(folder: Path) -> Any:
    """The MetaGraphDef to serve: the one tagged "serve", else the first."""
    from tensorflow.core.protobuf import saved_model_pb2

    message = saved_model_pb2.SavedModel()
    files = [
        p
        for p in (folder / "saved_model.pb", folder / "saved_model.pbtxt", *sorted(folder.glob("*.pb")))
        if p.is_file()
    ]
    if (folder / "saved_model.cpb").is_file():  # some versions of TensorFlow read it instead of saved_model.pb
        raise InputError(
            f"{LOAD} saved_model.cpb is a graph in pieces, which is not supported; keep saved_model.pb alone."
        )
    _parse(files[0], message)
    if not message.meta_graphs:
        raise InputError(f"{LOAD} {files[0].name} holds no graph.")
    served = [m for m in message.meta_graphs if "serve" in m.meta_info_def.tags]
    return (served or list(message.meta_graphs))[0]


def without_slots(folder: Path, scratch: Path) -> Path:
    """The SavedModel without its optimizer's variables, which newer TensorFlow cannot restore; `folder` when it has none."""
    from tensorflow.core.protobuf import saved_model_pb2

    source, message = folder / "saved_model.pb", saved_model_pb2.SavedModel()
    if not source.is_file():
        return folder
    _parse(source, message)
    nodes = [node for meta in message.meta_graphs for node in meta.object_graph_def.nodes if node.slot_variables]
    if not nodes:
        return folder
    for node in nodes:
        del node.slot_variables[:]
    (scratch / "saved_model.pb").write_bytes(message.SerializeToString())
    for entry in folder.iterdir():
        if entry.name != "saved_model.pb":
            (scratch / entry.name).symlink_to(entry)
    return scratch


def graph_def(path: Path) -> Any:
    """The frozen graph of a .pb or .pbtxt file."""
    from tensorflow.core.framework import graph_pb2

    message = graph_pb2.GraphDef()
    _parse(path, message)
    if not message.node:
        raise InputError(f"{LOAD} {path.name} holds no graph.")
    return message


def _parse(path: Path, message: Any) -> None:
    from google.protobuf import text_format
    from google.protobuf.message import DecodeError

    data = path.read_bytes()
    if data.startswith(b"version https://git-lfs"):
        raise InputError(
            f"{LOAD} {path.name} is a Git LFS pointer and not the model itself; run 'git lfs pull' and make the archive again."
        )
    try:
        if path.suffix == ".pbtxt":
            text_format.Parse(data.decode("utf-8"), message)
        else:
            message.ParseFromString(data)
    except (DecodeError, text_format.ParseError, UnicodeDecodeError) as error:
        raise InputError(
            f"{LOAD} {path.name} ({len(data)} bytes) is no complete protobuf: {' '.join(str(error).split())[:200]}"
        ) from error


def signature(meta: Any, wanted: str | None) -> str:
    """The signature to serve: the one asked for, serving_default, else the only one of the user's."""
    own = [key for key in meta.signature_def if not key.startswith("__saved_model")]
    if wanted is not None:
        if wanted not in own:
            raise InputError(
                f"CompilerOptions names the signature '{wanted}'; the model's signatures are {', '.join(sorted(own)) or 'none'}."
            )
        return wanted
    if "serving_default" in own:
        return "serving_default"
    if len(own) == 1:
        return own[0]
    raise InputError(
        f"The model has no signature 'serving_default'; name one of {', '.join(sorted(own))} as signature_def_key in CompilerOptions."
        if own
        else f"{LOAD} it has no signature, so its inputs and outputs are unknown; save it with tf.saved_model.save(model, path, signatures=...)."
    )
