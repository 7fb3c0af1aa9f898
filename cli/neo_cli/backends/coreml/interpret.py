"""A saved ML program, read back and evaluated with numpy: the check of a Core ML artifact away from macOS.

Written from the operations' definitions in Core ML's MIL reference, apart from the translation in `rules`, so that
an error there shows as a difference here. float32 throughout; no operation is approximated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from neo_cli.base.errors import InternalError

Arrays = dict[str, np.ndarray]


def run(package: Any, inputs: Mapping[str, np.ndarray]) -> Arrays:
    """Evaluate function "main" of the .mlpackage at path `package` on `{name: array}`."""
    import coremltools as ct
    from coremltools.converters.mil.frontend.milproto.load import load

    loaded = ct.models.MLModel(str(package), skip_model_load=True)
    spec = loaded.get_spec()
    program = load(spec, specification_version=spec.specificationVersion, file_weights_dir=loaded.weights_dir)
    function = program.functions["main"]
    values: Arrays = {}
    for name, variable in function.inputs.items():
        values[variable.name] = np.asarray(inputs[name])
    for operation in function.operations:
        _step(operation, values)
    return {o.name: values[o.name] for o in function.outputs}


def _step(operation: Any, values: Arrays) -> None:
    if operation.op_type == "const":
        values[operation.outputs[0].name] = np.asarray(operation.outputs[0].val)
        return
    rule = OPERATIONS.get(operation.op_type)
    if rule is None:
        raise InternalError(
            f"the ML program holds the operation '{operation.op_type}', which the check cannot evaluate."
        )
    arguments = {k: _value(v, values) for k, v in operation.inputs.items() if v is not None}
    results = rule(**arguments)
    for output, result in zip(operation.outputs, results if isinstance(results, list) else [results], strict=True):
        values[output.name] = np.asarray(result)


def _value(source: Any, values: Arrays) -> Any:
    if isinstance(source, list | tuple):
        return [_value(s, values) for s in source]
    return values.get(source.name, source.val)


def _pairs(
    pad_type: str, pad: Any, size: list[int], kernel: list[int], strides: list[int], dilations: list[int]
) -> list[tuple[int, int]]:
    if pad_type == "custom":
        flat = [int(p) for p in pad]
        return list(zip(flat[::2], flat[1::2], strict=True))
    if pad_type == "valid":
        return [(0, 0)] * len(size)
    pairs = []
    for n, k, s, d in zip(size, kernel, strides, dilations, strict=True):
        total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        small = total // 2
        pairs.append((small, total - small) if pad_type == "same" else (total - small, small))
    return pairs


def _windows(x: np.ndarray, kernel: list[int], strides: list[int], dilations: list[int]) -> np.ndarray:
    """(N, C, out..., kernel...) views of a padded (N, C, spatial...) array."""
    rank = len(kernel)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    view = sliding_window_view(x, spans, axis=tuple(range(2, 2 + rank)))
    step = (
        slice(None),
        slice(None),
        *(slice(None, None, s) for s in strides),
        *(slice(None, None, d) for d in dilations),
    )
    return view[step]


def _ints(value: Any) -> list[int]:
    return [int(v) for v in np.asarray(value).reshape(-1)]


def _conv(
    x: np.ndarray,
    weight: np.ndarray,
    strides: Any,
    pad_type: Any,
    dilations: Any,
    groups: Any,
    pad: Any = None,
    bias: Any = None,
) -> Any:
    kernel, step, spread, count = list(weight.shape[2:]), _ints(strides), _ints(dilations), int(groups)
    pairs = _pairs(str(pad_type), pad, list(x.shape[2:]), kernel, step, spread)
    windows = _windows(np.pad(x, [(0, 0), (0, 0), *pairs]), kernel, step, spread)
    rank, inside, outside = len(kernel), weight.shape[1], weight.shape[0] // count
    parts = []
    for g in range(count):
        part = windows[:, g * inside : (g + 1) * inside]
        filters = weight[g * outside : (g + 1) * outside]
        axes = [1, *range(2 + rank, 2 + 2 * rank)]
        parts.append(np.moveaxis(np.tensordot(part, filters, (axes, [1, *range(2, 2 + rank)])), -1, 1))
    result = np.concatenate(parts, 1)
    return result if bias is None else result + np.asarray(bias).reshape(1, -1, *[1] * rank)


def _conv_transpose(
    x: np.ndarray,
    weight: np.ndarray,
    strides: Any,
    pad_type: Any,
    dilations: Any,
    groups: Any,
    pad: Any = None,
    bias: Any = None,
    output_shape: Any = None,
) -> Any:
    kernel, step, spread, count = list(weight.shape[2:]), _ints(strides), _ints(dilations), int(groups)
    rank, inside, outside = len(kernel), weight.shape[0] // count, weight.shape[1]
    full = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(x.shape[2:], step, kernel, spread, strict=True)]
    size = _ints(output_shape)[2:] if output_shape is not None else full
    before = (
        [int(p) for p in np.asarray(pad).reshape(-1)[::2]]
        if str(pad_type) == "custom" and pad is not None
        else [0] * rank
    )
    canvas = [max(f, b + n) for f, b, n in zip(full, before, size, strict=True)]
    result = np.zeros((x.shape[0], outside * count, *canvas), np.float32)
    for g in range(count):
        part, filters = x[:, g * inside : (g + 1) * inside], weight[g * inside : (g + 1) * inside]
        for position in np.ndindex(*kernel):
            place = tuple(
                slice(p * d, p * d + (n - 1) * s + 1, s)
                for p, d, n, s in zip(position, spread, x.shape[2:], step, strict=True)
            )
            value = np.moveaxis(np.tensordot(part, filters[(slice(None), slice(None), *position)], ([1], [0])), -1, 1)
            result[(slice(None), slice(g * outside, (g + 1) * outside), *place)] += value
    crop = result[(slice(None), slice(None), *(slice(b, b + n) for b, n in zip(before, size, strict=True)))]
    return crop if bias is None else crop + np.asarray(bias).reshape(1, -1, *[1] * rank)


def _pool(
    x: np.ndarray,
    kernel_sizes: Any,
    strides: Any,
    pad_type: Any,
    pad: Any,
    ceil_mode: Any,
    average: bool,
    exclude: bool = False,
) -> Any:
    kernel, step = _ints(kernel_sizes), _ints(strides)
    rank = len(kernel)
    pairs = _pairs(str(pad_type), pad, list(x.shape[2:]), kernel, step, [1] * rank)
    if bool(ceil_mode):
        for i, (n, k, s) in enumerate(zip(x.shape[2:], kernel, step, strict=True)):
            short = (n + sum(pairs[i]) - k) % s
            pairs[i] = (pairs[i][0], pairs[i][1] + (s - short if short else 0))
    fill = 0.0 if average else -np.inf
    windows = _windows(np.pad(x, [(0, 0), (0, 0), *pairs], constant_values=fill), kernel, step, [1] * rank)
    axes = tuple(range(2 + rank, 2 + 2 * rank))
    if not average:
        return windows.max(axes)
    ones = np.pad(
        np.ones((1, 1, *x.shape[2:]), np.float32), [(0, 0), (0, 0), *pairs], constant_values=0.0 if exclude else 1.0
    )
    return windows.sum(axes) / _windows(ones, kernel, step, [1] * rank).sum(axes)


def _avg_pool(
    x: Any,
    kernel_sizes: Any,
    strides: Any,
    pad_type: Any,
    exclude_padding_from_average: Any = False,
    pad: Any = None,
    ceil_mode: Any = False,
) -> Any:
    return _pool(x, kernel_sizes, strides, pad_type, pad, ceil_mode, True, bool(exclude_padding_from_average))


def _max_pool(x: Any, kernel_sizes: Any, strides: Any, pad_type: Any, pad: Any = None, ceil_mode: Any = False) -> Any:
    return _pool(x, kernel_sizes, strides, pad_type, pad, ceil_mode, False)


def _batch_norm(x: Any, mean: Any, variance: Any, gamma: Any = 1.0, beta: Any = 0.0, epsilon: Any = 1e-5) -> Any:
    shape = (1, -1, *[1] * (x.ndim - 2))
    scale = np.asarray(gamma) / np.sqrt(np.asarray(variance) + epsilon)
    return x * scale.reshape(shape) + (np.asarray(beta) - np.asarray(mean) * scale).reshape(shape)


def _layer_norm(x: Any, axes: Any, gamma: Any = 1.0, beta: Any = 0.0, epsilon: Any = 1e-5) -> Any:
    chosen = tuple(_ints(axes))
    centred = x - x.mean(chosen, keepdims=True)
    return centred / np.sqrt((centred**2).mean(chosen, keepdims=True) + epsilon) * gamma + beta


def _softmax(x: Any, axis: Any) -> Any:
    shifted = np.exp(x - x.max(int(axis), keepdims=True))
    return shifted / shifted.sum(int(axis), keepdims=True)


def _erf(x: Any) -> Any:
    from math import erf

    return np.vectorize(erf, otypes=[np.float32])(x)


def _gelu(x: Any, mode: Any = "EXACT") -> Any:
    if str(mode) == "EXACT":
        return 0.5 * x * (1 + _erf(x / np.sqrt(np.float32(2))))
    return 0.5 * x * (1 + np.tanh(np.sqrt(np.float32(2 / np.pi)) * (x + np.float32(0.044715) * x**3)))


def _reduce(function: Callable[..., Any]) -> Callable[..., Any]:
    def rule(x: Any, axes: Any = None, keep_dims: Any = False) -> Any:
        return function(x, axis=tuple(_ints(axes)) if axes is not None else None, keepdims=bool(keep_dims))

    return rule


def _slice(
    x: Any,
    begin: Any,
    end: Any,
    stride: Any = None,
    begin_mask: Any = None,
    end_mask: Any = None,
    squeeze_mask: Any = None,
) -> Any:
    index: list[Any] = []
    for i, (b, e) in enumerate(zip(_ints(begin), _ints(end), strict=True)):
        if squeeze_mask is not None and squeeze_mask[i]:
            index.append(b)
            continue
        low = None if begin_mask is not None and begin_mask[i] else b
        high = None if end_mask is not None and end_mask[i] else e
        index.append(slice(low, high, 1 if stride is None else int(stride[i])))
    return x[tuple(index)]


def _pad(x: Any, pad: Any, mode: Any = "constant", constant_val: Any = 0.0) -> Any:
    flat = _ints(pad)
    pairs = [(0, 0)] * (x.ndim - len(flat) // 2) + list(zip(flat[::2], flat[1::2], strict=True))
    name = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}[str(mode)]
    if name == "constant":
        return np.pad(x, pairs, "constant", constant_values=constant_val)
    return np.pad(x, pairs, "reflect" if name == "reflect" else "edge")


def _nearest(x: Any, scale_factor_height: Any = 1, scale_factor_width: Any = 1) -> Any:
    return x.repeat(int(scale_factor_height), 2).repeat(int(scale_factor_width), 3)


def _bilinear(
    x: Any,
    scale_factor_height: Any = 1,
    scale_factor_width: Any = 1,
    align_corners: Any = True,
    half_pixel_centers: Any = None,
) -> Any:
    half = not bool(align_corners) if half_pixel_centers is None else bool(half_pixel_centers)
    for axis, factor in ((2, float(scale_factor_height)), (3, float(scale_factor_width))):
        size = x.shape[axis]
        wanted = int(np.floor(size * factor + 1e-6))
        place = np.arange(wanted)
        if bool(align_corners):
            source = place * ((size - 1) / max(wanted - 1, 1))
        else:
            source = (place + 0.5) / factor - 0.5 if half else place / factor
        source = source.clip(0, size - 1)
        low = np.floor(source).astype(int)
        high = np.minimum(low + 1, size - 1)
        weight = (source - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(x.ndim)])
        x = np.take(x, low, axis) * (1 - weight) + np.take(x, high, axis) * weight
    return x


def _pixel_shuffle(x: Any, upscale_factor: Any) -> Any:
    n, c, h, w = x.shape
    r = int(upscale_factor)
    return x.reshape(n, c // r**2, r, r, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(n, c // r**2, h * r, w * r)


def _depth_to_space(x: Any, block_size: Any) -> Any:
    n, c, h, w = x.shape
    r = int(block_size)
    return x.reshape(n, r, r, c // r**2, h, w).transpose(0, 3, 4, 1, 5, 2).reshape(n, c // r**2, h * r, w * r)


def _linear(x: Any, weight: Any, bias: Any = 0.0) -> Any:
    return x @ np.asarray(weight).T + bias


def _matmul(x: Any, y: Any, transpose_x: Any = False, transpose_y: Any = False) -> Any:
    return (np.swapaxes(x, -1, -2) if bool(transpose_x) else x) @ (np.swapaxes(y, -1, -2) if bool(transpose_y) else y)


def _split(x: Any, axis: Any, split_sizes: Any = None, num_splits: Any = None) -> Any:
    where = np.cumsum(_ints(split_sizes))[:-1] if split_sizes is not None else int(num_splits)
    return list(np.split(x, where, int(axis)))


_TYPES = {"fp32": np.float32, "fp16": np.float16, "int32": np.int32, "bool": np.bool_}
_BINARY: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "real_div": np.true_divide, "pow": np.power, "maximum": np.maximum,
    "minimum": np.minimum, "less": np.less, "greater": np.greater, "less_equal": np.less_equal, "equal": np.equal,
    "greater_equal": np.greater_equal, "logical_and": np.logical_and, "logical_or": np.logical_or, "not_equal": np.not_equal,
}  # fmt: skip
_UNARY: dict[str, Callable[..., Any]] = {
    "relu": lambda x: np.maximum(x, 0), "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "tanh": np.tanh, "exp": np.exp, "abs": np.abs,
    "floor": np.floor, "ceil": np.ceil, "sqrt": np.sqrt, "erf": _erf, "sin": np.sin, "cos": np.cos, "sign": np.sign,
    "softplus": lambda x: np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0), "softsign": lambda x: x / (1 + np.abs(x)),
    "round": np.round, "logical_not": np.logical_not, "identity": lambda x: x, "silu": lambda x: x / (1 + np.exp(-x)),
    "square": np.square, "relu6": lambda x: np.clip(x, 0, 6),
}  # fmt: skip
OPERATIONS: dict[str, Callable[..., Any]] = {
    **{name: (lambda function: lambda x, y: function(x, y))(f) for name, f in _BINARY.items()},
    **{name: (lambda function: lambda x: function(x))(f) for name, f in _UNARY.items()},
    "log": lambda x, epsilon=0.0: np.log(x + epsilon), "rsqrt": lambda x, epsilon=0.0: 1 / np.sqrt(x + epsilon),
    "inverse": lambda x, epsilon=0.0: 1 / (x + epsilon), "clip": lambda x, alpha, beta: np.clip(x, alpha, beta),
    "leaky_relu": lambda x, alpha: np.where(x >= 0, x, alpha * x), "elu": lambda x, alpha: np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0))),
    "sigmoid_hard": lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1), "gelu": _gelu,
    "prelu": lambda x, alpha: np.where(x >= 0, x, x * np.asarray(alpha).reshape(1, -1, *[1] * (x.ndim - 2))),
    "conv": _conv, "conv_transpose": _conv_transpose, "batch_norm": _batch_norm, "layer_norm": _layer_norm, "max_pool": _max_pool,
    "avg_pool": _avg_pool, "reduce_mean": _reduce(np.mean), "reduce_sum": _reduce(np.sum), "reduce_max": _reduce(np.max),
    "reduce_min": _reduce(np.min), "reduce_prod": _reduce(np.prod), "softmax": _softmax, "matmul": _matmul, "linear": _linear,
    "reduce_argmax": lambda x, axis, keep_dims=False, output_dtype=None: x.argmax(int(axis), keepdims=bool(keep_dims)).astype(np.int32),
    "reduce_argmin": lambda x, axis, keep_dims=False, output_dtype=None: x.argmin(int(axis), keepdims=bool(keep_dims)).astype(np.int32),
    "reshape": lambda x, shape: x.reshape(_ints(shape)), "transpose": lambda x, perm: x.transpose(_ints(perm)),
    "expand_dims": lambda x, axes: np.expand_dims(x, tuple(_ints(axes))), "squeeze": lambda x, axes=None: x.squeeze(tuple(_ints(axes)) if axes is not None else None),
    "concat": lambda values, axis, interleave=False: np.concatenate(values, int(axis)), "split": _split, "slice_by_index": _slice,
    "gather_along_axis": lambda x, indices, axis=0, validate_indices=False: np.take_along_axis(x, indices, int(axis)),
    "gather": lambda x, indices, axis=0, validate_indices=False, batch_dims=0: np.take(x, indices, int(axis)), "pad": _pad,
    "cast": lambda x, dtype: x.astype(_TYPES[str(dtype)]), "select": lambda cond, a, b: np.where(cond, a, b),
    "tile": lambda x, reps: np.tile(x, _ints(reps)), "upsample_nearest_neighbor": _nearest, "upsample_bilinear": _bilinear,
    "pixel_shuffle": _pixel_shuffle, "depth_to_space": _depth_to_space,
}  # fmt: skip
