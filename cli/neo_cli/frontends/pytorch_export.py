"""A loaded PyTorch module as an ONNX graph: torch's older exporter first, which knows loops, then the newer one."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx

from neo_cli.base.errors import InputError
from neo_cli.base.quiet import quiet as silence

OPSET = 17
CONVERT = "TVM cannot convert the PyTorch model. Invalid model or input-shape mismatch. Make sure that inputs are lexically ordered and of the correct dimensionality."


def quiet() -> contextlib.AbstractContextManager[None]:
    """torch warns about its own deprecations and prints progress; none of it is the user's."""
    return silence("torch", "torch.onnx", "onnxscript", "onnx_ir", "torch.export")


def flatten(value: Any) -> list[tuple[str | None, Any]]:
    """The tensors of a module's result in order, each with its key where it came in a dictionary."""
    import torch

    if isinstance(value, torch.Tensor):
        return [(None, value)]
    if isinstance(value, dict):
        return [
            (str(key) if name is None else f"{key}_{name}", t)
            for key, item in value.items()
            for name, t in flatten(item)
        ]
    if isinstance(value, list | tuple):
        return [pair for item in value for pair in flatten(item)]
    return []


def export(module: Any, examples: Sequence[Any], inputs: list[str], outputs: list[str], log: Any) -> onnx.ModelProto:
    """The ONNX graph; InputError with Neo's words and both exporters' reasons when neither can."""
    import torch

    reasons = []
    ways = (_exported,) if isinstance(module, torch.export.ExportedProgram) else (_older, _newer)
    for way in ways:
        try:
            with quiet(), torch.no_grad():
                graph = way(module, tuple(examples), inputs, outputs)
            _named(graph, inputs, outputs)
            return graph
        except Exception as error:  # the exporters raise whatever their passes meet
            reasons.append(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
            log(f"PyTorch exporter {way.__name__.strip('_')}: {reasons[-1]}")
    raise InputError(f"{CONVERT} {reasons[0]}")


def _older(module: Any, examples: tuple[Any, ...], inputs: list[str], outputs: list[str]) -> onnx.ModelProto:
    import torch

    buffer = io.BytesIO()
    torch.onnx.export(
        _tuples(module, examples), examples, buffer, dynamo=False, input_names=inputs, output_names=outputs,
        opset_version=OPSET, do_constant_folding=True,
    )  # fmt: skip
    return onnx.load_from_string(buffer.getvalue())


def _tuples(module: Any, examples: tuple[Any, ...]) -> Any:
    """The module, or one that returns its dictionary's tensors as a tuple: the older exporter knows no dictionaries."""
    import torch

    if not isinstance(module(*examples), dict):
        return module

    class Flat(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, *arguments: Any) -> Any:
            return tuple(t for _, t in flatten(self.inner(*arguments)))

    return torch.jit.trace(Flat(), examples, check_trace=False)


def _newer(module: Any, examples: tuple[Any, ...], inputs: list[str], outputs: list[str]) -> onnx.ModelProto:
    """TorchScript as an exported program first; this way knows the attention layers that the older one does not."""
    from torch._export.converter import TS2EPConverter

    return _exported(TS2EPConverter(module, examples).convert(), examples, inputs, outputs)


def _exported(program: Any, examples: tuple[Any, ...], inputs: list[str], outputs: list[str]) -> onnx.ModelProto:
    import tempfile

    import torch

    table = torch.export.default_decompositions()
    table[torch.ops.aten._transformer_encoder_layer_fwd.default] = _encoder_layer
    table[torch.ops.aten._native_multi_head_attention.default] = _attention
    program = program.run_decompositions(table)
    made = torch.onnx.export(
        program, dynamo=True, verbose=False, input_names=inputs, output_names=outputs, opset_version=18
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        made.save(str(path), external_data=True)
        return onnx.load(str(path))


def _attention(
    query: Any, key: Any, value: Any, width: int, heads: int, qkv_weight: Any, qkv_bias: Any, out_weight: Any, out_bias: Any,
    mask: Any = None, need_weights: bool = True, average_weights: bool = True, mask_type: int | None = None,
) -> tuple[Any, Any]:  # fmt: skip
    """torch's fused attention in plain operators; traces of nn.MultiheadAttention in eval mode hold the fused one."""
    import torch

    def split(x: Any, part: int) -> Any:
        weight, bias = qkv_weight[part * width : (part + 1) * width], qkv_bias[part * width : (part + 1) * width]
        return torch.nn.functional.linear(x, weight, bias).unflatten(-1, (heads, width // heads)).transpose(1, 2)

    q, k, v = (split(x, part) for part, x in enumerate((query, key, value)))
    scores = (q * (width // heads) ** -0.5) @ k.transpose(-2, -1)
    if mask is not None:
        masked = mask if mask_type == 0 else mask[:, None, None, :]
        scores = scores.masked_fill(masked, float("-inf")) if mask.dtype == torch.bool else scores + masked
    weights = torch.softmax(scores, -1)
    mixed = (weights @ v).transpose(1, 2).flatten(2)
    shown = weights.mean(1) if average_weights else weights
    return torch.nn.functional.linear(mixed, out_weight, out_bias), shown


def _encoder_layer(
    x: Any, width: int, heads: int, qkv_weight: Any, qkv_bias: Any, out_weight: Any, out_bias: Any, gelu: bool, norm_first: bool,
    epsilon: float, weight_1: Any, bias_1: Any, weight_2: Any, bias_2: Any, up: Any, up_bias: Any, down: Any, down_bias: Any,
    mask: Any = None, mask_type: int | None = None,
) -> Any:  # fmt: skip
    """torch's fused transformer encoder layer in plain operators."""
    from torch.nn import functional

    def attend(y: Any) -> Any:
        return _attention(y, y, y, width, heads, qkv_weight, qkv_bias, out_weight, out_bias, mask, mask_type=mask_type)[
            0
        ]

    def feed(y: Any) -> Any:
        hidden = functional.linear(y, up, up_bias)
        return functional.linear(functional.gelu(hidden) if gelu else functional.relu(hidden), down, down_bias)

    def norm(y: Any, weight: Any, bias: Any) -> Any:
        return functional.layer_norm(y, (width,), weight, bias, epsilon)

    if norm_first:
        x = x + attend(norm(x, weight_1, bias_1))
        return x + feed(norm(x, weight_2, bias_2))
    x = norm(x + attend(x), weight_1, bias_1)
    return norm(x + feed(x), weight_2, bias_2)


def _named(graph: onnx.ModelProto, inputs: list[str], outputs: list[str]) -> None:
    """Inputs and outputs under the names asked for, in order; an exporter may have dropped or renamed some."""
    have = [v.name for v in graph.graph.input]
    weights = {t.name for t in graph.graph.initializer}
    free = [v for v in graph.graph.input if v.name not in weights]
    if [v.name for v in free] != inputs and len(free) == len(inputs):
        _rename(graph, dict(zip([v.name for v in free], inputs, strict=True)))
    elif [v.name for v in free] != inputs:
        missing = [name for name in inputs if name not in have]
        if len(free) + len(missing) != len(inputs):
            raise ValueError(f"the exporter made the inputs {have} of {inputs}")
    if len(graph.graph.output) != len(outputs):
        raise ValueError(f"the exporter made {len(graph.graph.output)} outputs of {len(outputs)}")
    _rename(graph, {v.name: name for v, name in zip(graph.graph.output, outputs, strict=True) if v.name != name})


def _rename(graph: onnx.ModelProto, names: dict[str, str]) -> None:
    """Give values new names everywhere in the main graph."""
    for node in graph.graph.node:
        node.input[:] = [names.get(n, n) for n in node.input]
        node.output[:] = [names.get(n, n) for n in node.output]
    for value in (*graph.graph.input, *graph.graph.output, *graph.graph.value_info):
        value.name = names.get(value.name, value.name)
