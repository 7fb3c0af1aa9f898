"""PYTORCH: TorchScript (.pt, .pth) and exported programs (.pt2), run by torch itself as the oracle."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from neo_cli.base.errors import InputError
from neo_cli.frontends import pytorch_guard
from neo_cli.frontends.pytorch_export import CONVERT, export, flatten, quiet
from neo_cli.frontends.pytorch_file import CANNOT, Traced, kind, model_file, traced_inputs
from neo_cli.model import proto
from neo_cli.model.inputs import Shapes
from neo_cli.model.model import Arrays, Model, Source, Tensor

PIP = "pip install 'neo-cli[pytorch]'"
INTEGER_WANTED = ("Long", "Int", "indices must be")  # torch's complaints about floating indices
DTYPES = {"float": "float32", "long": "int64"}  # CompilerOptions' other names


@dataclass(frozen=True)
class Entry:
    """One argument of the model: the name users see, its shape, its numpy dtype."""

    name: str
    shape: tuple[int, ...]
    dtype: str


def load(source: Source, shapes: Shapes | None) -> Model:
    """The Model of the archive's one PyTorch file. InputError in Neo's words where it cannot be had.

    A dictionary of shapes is passed to the model in the lexical order of its names, as Neo does.
    """
    path = model_file(source.root)
    form = kind(path)
    pytorch_guard.refuse_code(path, form)
    if importlib.util.find_spec("torch") is None:
        raise InputError(f"PyTorch models need torch: {PIP}.")
    if not source.trusted:
        raise InputError(
            f"{path.name} may hold code, and no sandbox works on this machine: give --trust-model to load it all the same."
        )
    module = _read(path, form)
    entries = _entries(module, path, form, shapes, source)
    examples = _examples(entries)
    results = flatten(_call(module, form, examples))
    if not results:
        raise InputError(f"{CONVERT} The model returns no tensors.")
    names = [key if key is not None else f"output_{i}" for i, (key, _) in enumerate(results)]
    graph = export(module, examples, [e.name for e in entries], names, source.log)
    return _model(
        source,
        path,
        module,
        form,
        entries,
        graph,
        list(zip(names, [t for _, t in results], strict=True)),
        shapes is None,
    )


def _model(
    source: Source,
    path: Path,
    module: Any,
    form: str,
    entries: list[Entry],
    graph: Any,
    results: list[tuple[str, Any]],
    derived: bool,
) -> Model:
    inputs = tuple(Tensor(e.name, e.dtype, e.shape) for e in entries)
    present = {v.name: v for v in graph.graph.input}
    del graph.graph.input[:]
    for tensor in inputs:  # in our order; an input the model ignores stays an input
        value = present.get(tensor.name) or _value(tensor)
        proto.pin(value, tensor.shape)
        graph.graph.input.append(value)
    proto.forget_shapes(graph)
    proto.infer(graph)
    outputs = proto.tensors(graph.graph.output)
    outputs = tuple(
        Tensor(t.name, _numpy_name(r), tuple(r.shape) if -1 in t.shape and not _data_dependent(graph) else t.shape)
        for t, (_, r) in zip(outputs, results, strict=True)
    )
    names = [name for name, _ in results]

    def oracle(arrays: Arrays) -> dict[str, np.ndarray]:
        import torch

        given = [torch.from_numpy(np.array(arrays[t.name])) for t in inputs]
        return {
            name: tensor.detach().numpy()
            for name, (_, tensor) in zip(names, flatten(_call(module, form, given)), strict=True)
        }

    samples = source.root / "samples.npz"
    text = json.dumps({e.name: list(e.shape) for e in entries}, separators=(",", ":")) if derived else None
    if text:
        source.log(f"DataInputConfig derived from the model: {text}")
    return Model(
        graph,
        inputs,
        outputs,
        replace(source, path=path, inputs=inputs, handle=module),
        oracle,
        text,
        samples if samples.is_file() else None,
    )


def _value(tensor: Tensor) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(
        tensor.name, helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype)), list(tensor.shape)
    )


def _data_dependent(graph: Any) -> bool:
    return any(n.op_type in ("NonZero", "NonMaxSuppression", "Unique", "Compress") for n in proto.nodes(graph.graph))


def _read(path: Path, form: str) -> Any:
    import torch

    try:
        with quiet():
            if form == "exported":
                return torch.export.load(str(path))
            module = torch.jit.load(str(path), map_location="cpu").eval()
            for parameter in module.parameters():
                parameter.requires_grad_(False)
            return module
    except Exception as error:  # torch's readers raise many kinds
        raise InputError(f"{CANNOT} {type(error).__name__}: {' '.join(str(error).split())[:300]}") from error


def _entries(module: Any, path: Path, form: str, shapes: Shapes | None, source: Source) -> list[Entry]:
    """The model's arguments: what the file knows, and what the request says about it."""
    own = _program_inputs(module) if form == "exported" else None
    examples = [Traced(shape, dtype) for _, shape, dtype in own] if own else traced_inputs(path)
    if shapes is None:
        if examples is None:
            raise InputError(
                "We are unable to extract DataInputConfig from the model due to input_config_derivation_error. Please override by "
                "providing a DataInputConfig during compilation job creation. A scripted module does not keep the shapes of its inputs."
            )
        names = [name for name, _, _ in own] if own else [f"input{i}" for i in range(len(examples))]
        return [
            Entry(name, tuple(max(1, n) for n in e.shape), e.dtype) for name, e in zip(names, examples, strict=True)
        ]
    named = _named(shapes, [name for name, _, _ in own] if own else None, source)
    wanted = len(examples) if examples is not None else _arguments(module)
    if wanted is not None and len(named) != wanted:
        raise InputError(
            f"{CONVERT} DataInputConfig gives {len(named)} inputs, {', '.join(named)}; the model takes {wanted}."
        )
    entries = []
    for position, (name, shape) in enumerate(named.items()):
        if -1 in shape:
            raise InputError(
                f"DataInputConfig leaves a size of '{name}' open, {list(shape)}; PyTorch models are compiled for fixed sizes."
            )
        example = examples[position] if examples is not None else None
        if example is not None and len(example.shape) != len(shape):
            raise InputError(
                f"{CONVERT} DataInputConfig gives '{name}' {len(shape)} dimensions, {list(shape)}; the model was traced with {list(example.shape)}."
            )
        dtype = example.dtype if example is not None else _dtype(source)
        entries.append(Entry(name, shape, dtype))
    return entries if examples is not None or "dtype" in source.options else _typed(module, entries, source)


def _named(shapes: Shapes, own: list[str] | None, source: Source) -> dict[str, tuple[int, ...]]:
    if shapes.listed:
        return {f"input{i}": shape for i, shape in enumerate(shapes.listed)}
    if own is not None and set(own) == set(shapes.named):
        return {name: shapes.named[name] for name in own}
    ordered = dict(sorted(shapes.named.items()))
    if list(ordered) != list(shapes.named):
        source.log(
            f"warning: inputs are passed in the lexical order of their names, {', '.join(ordered)}, not in the order written"
        )
    return ordered


def _program_inputs(program: Any) -> list[tuple[str, tuple[int, ...], str]]:
    """Name, shape (-1 where it is symbolic) and dtype of an exported program's inputs."""
    wanted = set(program.graph_signature.user_inputs)
    found = []
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in wanted and "val" in node.meta:
            value = node.meta["val"]
            shape = tuple(n if isinstance(n, int) else -1 for n in value.shape)
            found.append((node.name, shape, str(value.dtype).removeprefix("torch.")))
    return found


def _arguments(module: Any) -> int | None:
    """How many tensors a scripted forward must be given."""
    try:
        arguments = module.forward.schema.arguments[1:]
    except (AttributeError, RuntimeError):
        return None
    return sum(1 for a in arguments if not a.has_default_value())


def _dtype(source: Source) -> str:
    told = str(source.options.get("dtype", "float32"))
    return DTYPES.get(told, told)


def _typed(module: Any, entries: list[Entry], source: Source) -> list[Entry]:
    """Scripted modules do not say their inputs' types: float32, or int64 where only that runs."""
    try:
        _call(module, "torchscript", _examples(entries))
    except InputError as error:
        if not any(word in str(error.__cause__) for word in INTEGER_WANTED):
            raise
        integers = [replace(e, dtype="int64") for e in entries]
        _call(module, "torchscript", _examples(integers))
        source.log("inputs are taken as int64: the model does not run on float32")
        return integers
    return entries


def _examples(entries: Sequence[Entry]) -> list[Any]:
    import torch

    random = np.random.default_rng(0)
    return [
        torch.from_numpy(
            random.standard_normal(e.shape).astype(e.dtype)
            if e.dtype.startswith("float")
            else np.zeros(e.shape, e.dtype)
        )
        for e in entries
    ]


def _call(module: Any, form: str, arguments: Sequence[Any]) -> Any:
    import torch

    try:
        with torch.no_grad(), quiet():
            return (module.module() if form == "exported" else module)(*arguments)
    except Exception as error:  # a module raises whatever its code does
        lines = [line for line in str(error).strip().splitlines() if line.strip()]
        raise InputError(f"{CONVERT} {lines[-1].strip()[:300] if lines else type(error).__name__}") from error


def _numpy_name(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")
