"""MXNet networks by script: each of MODELS writes net-symbol.json and net-0000.params, as HybridBlock.export does.

Needs numpy only, so that real MXNet can run the same files in its own environment (mxnet_golden.py does).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from models.mxnet_symbols import Sym, pack


def mlp(folder: Path) -> str | None:
    s = Sym()
    x = s.var("data")
    for cin, cout, kind in ((3 * 8 * 8, 32, "relu"), (32, 16, "softrelu"), (16, 10, "tanh")):
        x = s.act(s.dense(x, cin, cout), kind)
    s.write(folder, s.op("softmax", x, axis=-1, temperature=0.5))
    return '{"data":[2,3,8,8]}'


def resnet_v1(folder: Path) -> str | None:
    s = Sym()
    x = s.block(s.var("data"), 3, 16, 7, 2)
    x = s.op("Pooling", x, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="max")
    for cin, cout, stride in ((16, 16, 1), (16, 32, 2), (32, 32, 1)):
        y = s.norm(s.conv(s.block(x, cin, cout, 3, stride), cout, cout), cout)
        x = x if cin == cout else s.norm(s.conv(x, cin, cout, 1, stride), cout)
        x = s.act(s.op("elemwise_add", y, x))
    s.write(folder, s.dense(s.mean(x), 32, 10))
    return '{"data":[1,3,48,48]}'


def resnext(folder: Path) -> str | None:
    """Grouped convolutions and squeeze-and-excitation, pre-activation with fixed gamma."""
    s = Sym()
    x = s.norm(s.var("data"), 3, fix_gamma=True, eps=2e-5)
    x = s.conv(x, 3, 16, 3, 2)
    y = s.block(s.block(x, 16, 16, 1), 16, 16, 3, 1, groups=4)
    gate = s.act(s.conv(s.act(s.conv(s.mean(y), 16, 4, 1, bias=True)), 4, 16, 1, bias=True), "sigmoid")
    x = s.op("_Plus", s.op("broadcast_mul", y, gate), x)
    x = s.op("Flatten", s.mean(s.act(s.norm(x, 16, fix_gamma=True))))
    s.write(folder, s.dense(x, 16, 7))
    return '{"data":[1,3,40,40]}'


def mobilenet_v3(folder: Path) -> str | None:
    s = Sym()

    def hard_swish(x: list[int]) -> list[int]:
        gate = s.op("clip", s.op("_plus_scalar", x, scalar=3), a_min=0, a_max=6)
        return s.op("elemwise_mul", s.op("_div_scalar", gate, scalar=6), x)

    x = hard_swish(s.norm(s.conv(s.var("data"), 3, 8, 3, 2), 8))
    y = hard_swish(s.norm(s.conv(x, 8, 24, 1), 24))
    y = hard_swish(s.norm(s.conv(y, 24, 24, 5, 1, groups=24), 24))
    y = s.norm(s.conv(y, 24, 8, 1), 8)
    x = s.op("elemwise_add", x, y)
    x = s.op("LeakyReLU", s.conv(x, 8, 16, 3, 2), act_type="leaky", slope=0.1)
    x = s.op("_contrib_AdaptiveAvgPooling2D", x, output_size=1)
    x = s.op("Reshape", s.conv(x, 16, 12, 1, bias=True), shape=(0, -1))
    s.write(folder, s.op("Dropout", x, p=0.2))
    return '{"data":[1,3,32,32]}'


def inception(folder: Path) -> str | None:
    s = Sym()
    x = s.block(s.var("data"), 3, 8)
    x = s.op("LRN", x, nsize=5, alpha=1e-3, beta=0.75, knorm=1)
    x = s.op("Pooling", x, kernel=(3, 3), stride=(2, 2), pool_type="max", pooling_convention="full")
    pooled = s.op("Pooling", x, kernel=(3, 3), stride=(1, 1), pad=(1, 1), pool_type="avg", count_include_pad=False)
    branches = [s.block(x, 8, 4, 1), s.block(s.block(x, 8, 4, 1), 4, 8, 5), s.block(pooled, 8, 4, 1)]
    x = s.op("Concat", *branches, num_args=3, dim=1)
    x = s.op("Pooling", x, kernel=(3, 3), stride=(2, 2), pad=(1, 1), pool_type="avg", pooling_convention="full")
    x = s.op("Pooling", x, kernel=(2, 2), stride=(2, 2), pool_type="sum")
    label = s.var("softmax_label")
    s.write(folder, s.op("SoftmaxOutput", s.dense(x, 16 * 4 * 4, 6), label))
    return "{'data':[1,3,31,31],'softmax_label':[1]}"


def segmenter(folder: Path) -> str | None:
    s = Sym()
    x = s.block(s.var("data"), 3, 8, 3, 2)
    x = s.act(s.norm(s.conv(x, 8, 8, 3, dilate=2), 8))
    parts = []
    for size in (1, 2, 3):
        y = s.conv(s.op("_contrib_AdaptiveAvgPooling2D", x, output_size=size), 8, 4, 1)
        parts.append(s.op("_contrib_BilinearResize2D", y, height=14, width=20))
    x = s.op("Concat", x, *parts, num_args=4, dim=1)
    x = s.conv(s.op("L2Normalization", x, mode="channel"), 20, 5, 1, bias=True)
    up = s.op("UpSampling", x, scale=2, sample_type="nearest", num_args=1)
    large = s.op("_contrib_BilinearResize2D", x, scale_height=2, scale_width=2, mode="size", align_corners=False)
    s.write(folder, up, s.op("SoftmaxActivation", large, mode="channel"))
    return '{"data":[1,3,28,40]}'


def pose(folder: Path) -> str | None:
    s = Sym()
    x = s.block(s.var("data"), 3, 8, 3, 2)
    w = s.param("weight", s.normal(8, 3, 4, 4, scale=0.2))
    x = s.op(
        "Deconvolution",
        x,
        w,
        kernel=(4, 4),
        dilate=(1, 1),
        stride=(2, 2),
        pad=(1, 1),
        adj=(0, 0),
        num_filter=6,
        num_group=2,
        no_bias=True,
    )
    w, b = s.param("weight", s.normal(6, 5, 4, 4, scale=0.3)), s.param("bias", s.normal(5))
    x = s.op(
        "Deconvolution",
        s.norm(x, 6),
        w,
        b,
        kernel=(4, 4),
        dilate=(1, 1),
        stride=(2, 2),
        target_shape=(32, 32),
        num_filter=5,
        no_bias=False,
    )
    slope = s.param("alpha", s.random.uniform(0.1, 0.4, 5))
    s.write(folder, s.op("LeakyReLU", x, slope, act_type="prelu"))
    return '{"data":[1,3,16,16]}'


def detector_tail(folder: Path) -> str | None:
    """What YOLOv3 and SSD do before non-maximum suppression: anchors, offsets, transposes, decoded boxes."""
    s = Sym()
    x = s.block(s.var("data"), 3, 12, 3, 2)
    y = s.op("Reshape", s.conv(x, 12, 14, 1, bias=True), shape=(0, 2, 7, -1))
    y = s.op("transpose", y, axes=(0, 3, 1, 2))
    centre = s.op("sigmoid", s.op("slice_axis", y, axis=-1, begin=0, end=2))
    size = s.op("exp", s.op("slice_axis", y, axis=-1, begin=2, end=4))
    score = s.op("slice_axis", y, axis=-1, begin=4, end="None")
    steps = s.op("_arange", start=0, stop=16, step=1, repeat=1, dtype="float32")
    column = s.op("tile", steps, reps=(16, 1))
    row = s.op("transpose", column)
    grid = s.op("stack", column, row, axis=-1, num_args=2)
    grid = s.op("expand_dims", s.op("Reshape", grid, shape=(1, -1, 2)), axis=2)
    centre = s.op("_mul_scalar", s.op("broadcast_add", centre, grid), scalar=2)
    anchors = s.param("anchors", s.random.uniform(3, 9, (1, 1, 2, 2)))
    half = s.op("_div_scalar", s.op("broadcast_mul", size, anchors), scalar=2)
    box = s.op("concat", s.op("elemwise_sub", centre, half), s.op("elemwise_add", centre, half), dim=-1, num_args=2)
    keep = s.op("_greater_scalar", score, scalar=0.1)
    score = s.op("where", keep, score, s.op("zeros_like", score))
    like = s.op("slice_like", s.op("repeat", box, axis=1, repeats=2), s.op("_ones", shape=(1, 300)), axes=(1,))
    s.write(folder, s.op("Reshape", box, shape=(0, -3, 4)), s.op("Reshape", score, shape=(-4, 1, -1, -2)), like)
    return '{"data":[1,3,32,32]}'


def lstm(folder: Path) -> str | None:
    s = Sym()
    table = s.param("embedding", s.normal(50, 12))
    x = s.op("Embedding", s.var("data"), table, input_dim=50, output_dim=12, dtype="float32")
    x = s.op("SwapAxis", x, dim1=0, dim2=1)
    parts = [s.param("i2h", s.normal(32, 12, scale=0.3)), s.param("h2h", s.normal(32, 8, scale=0.3))]
    parts += [s.param("i2h", s.normal(32, 8, scale=0.3)), s.param("h2h", s.normal(32, 8, scale=0.3))]
    parts += [s.param("bias", s.normal(32, scale=0.2)) for _ in range(4)]
    flat = [s.op("Reshape", p, shape=(-1,)) for p in parts]
    flat_all = s.op("_rnn_param_concat", *flat, dim=0, num_args=len(flat))
    start = [s.op("_zeros", shape=(2, 0, 8), dtype="float32") for _ in range(2)]
    y = s.op("RNN", x, flat_all, *start, mode="lstm", num_layers=2, state_size=8, state_outputs=True, p=0)
    top = s.op("slice_axis", [y[0], 0, 0], axis=0, begin=-1, end="None")
    s.write(folder, s.dense(s.op("squeeze", top, axis=0), 8, 4), [y[0], 2, 0])
    return '{"data":[3,7]}'


def gru(folder: Path) -> str | None:
    s = Sym()
    x = s.op("transpose", s.var("data"), axes=(1, 0, 2))
    flat = s.param("rnn", s.normal(2 * (18 * 5 + 18 * 6) + 4 * 18, scale=0.4))
    state = s.param("state", s.normal(2, 2, 6))
    y = s.op("RNN", x, flat, state, mode="gru", num_layers=1, state_size=6, bidirectional=True, p=0)
    flat = s.param("rnn", s.normal(4 * 12 + 4 * 4 + 8, scale=0.4))
    y = s.op("RNN", y, flat, s.op("_zeros", shape=(1, 2, 4)), mode="rnn_tanh", num_layers=1, state_size=4)
    y = s.op("transpose", y, axes=(1, 0, 2))
    s.write(folder, s.op("mean", y, axis=1))
    return '{"data":[2,6,5]}'


def transformer(folder: Path) -> str | None:
    """An encoder cell of GluonNLP's BERT: interleaved attention, GELU, layer norm."""
    s = Sym()
    length, width, heads = 6, 16, 4
    words = s.op("Embedding", s.var("data0"), s.param("word", s.normal(30, width)), input_dim=30, output_dim=width)
    kinds = s.op("Embedding", s.var("data1"), s.param("kind", s.normal(2, width)), input_dim=2, output_dim=width)
    place = s.op(
        "Embedding",
        s.op("_arange", start=0, stop=length),
        s.param("place", s.normal(9, width)),
        input_dim=9,
        output_dim=width,
    )
    x = s.op("broadcast_add", s.op("elemwise_add", words, kinds), s.op("expand_dims", place, axis=0))

    def norm(x: list[int]) -> list[int]:
        gamma, beta = s.param("gamma", 1 + s.normal(width, scale=0.1)), s.param("beta", s.normal(width, scale=0.1))
        return s.op("LayerNorm", x, gamma, beta, axis=-1, eps=1e-12)

    x = s.op("transpose", norm(x), axes=(1, 0, 2))
    mixed = s.dense(x, width, 3 * width, flatten=False)
    scores = s.op("softmax", s.op("_contrib_interleaved_matmul_selfatt_qk", mixed, heads=heads), axis=-1)
    y = s.op("_contrib_interleaved_matmul_selfatt_valatt", mixed, scores, heads=heads)
    x = norm(s.op("elemwise_add", x, s.dense(y, width, width, flatten=False)))
    y = s.op("LeakyReLU", s.dense(x, width, 32, flatten=False), act_type="gelu")
    x = norm(s.op("elemwise_add", x, s.dense(y, 32, width, flatten=False)))
    first = s.op("squeeze", s.op("slice_axis", x, axis=0, begin=0, end=1), axis=0)
    plain = s.op("transpose", x, axes=(1, 0, 2))
    scores = s.op("_contrib_div_sqrt_dim", s.op("batch_dot", plain, plain, transpose_b=True))
    s.write(folder, s.act(s.dense(first, width, 5), "tanh"), s.op("batch_dot", s.op("log_softmax", scores), plain))
    return '{"data0":[2,6],"data1":[2,6]}'


def old_format(folder: Path) -> str | None:
    """A network of MXNet 0.8: 'param' dictionaries, Python 2 tuples, a label without a shape, float16 weights, V1 arrays."""
    s = Sym()
    x = s.op("Convolution", s.var("data"), s.param("weight", s.normal(4, 3, 3, 3, scale=0.3)), s.param("bias", s.normal(4)),
             kernel="(3L, 3L)", stride="(2L, 2L)", pad="(1L, 1L)", num_filter=4)  # fmt: skip
    x = s.op("SoftmaxOutput", s.dense(s.op("Flatten", s.act(x, "relu")), 4 * 8 * 8, 5), s.var("softmax_label"))
    for node in s.nodes:
        if "attrs" in node:
            node["param"] = node.pop("attrs")
        node["inputs"] = [edge[:2] for edge in node["inputs"]]
    s.write(folder, x[:2], name="old")
    (folder / "old-0000.params").write_bytes(pack(s.params, version=1))
    return '{"data":[1,3,16,16]}'


def arithmetic(folder: Path) -> str | None:
    """The elementwise operators, reductions and cuts, each at least once."""
    s = Sym()
    x = s.var("data")
    other = s.param("other", s.random.uniform(0.5, 1.5, (1, 4, 1, 1)))
    for kind in [
        "sigmoid",
        "softsign",
        "sin",
        "cos",
        "erf",
        "relu",
        "exp",
        "sqrt",
        "log",
        "abs",
        "negative",
        "square",
        "tanh",
    ]:
        x = s.op(kind, s.op("_plus_scalar", x, scalar=0.05) if kind in ("sqrt", "log") else x)
    scalars = {"minus": 0.2, "rminus": 1, "mul": 1.5, "maximum": -1.5, "minimum": 2.5}
    for kind, scalar in scalars.items():
        x = s.op(f"_{kind}_scalar", x, scalar=scalar)
    for kind in ["add", "sub", "mul", "div", "maximum", "minimum"]:
        x = s.op("elemwise_add", s.op(f"broadcast_{kind}", x, other), x)
    x = s.op("rsqrt", s.op("_plus_scalar", s.op("square", x), scalar=0.3))
    x = s.op("_rdiv_scalar", s.op("_power_scalar", x, scalar=2), scalar=0.7)
    norm = s.op("InstanceNorm", x, s.param("gamma", s.normal(4)), s.param("beta", s.normal(4)), eps=1e-3)
    group = s.op("GroupNorm", x, s.param("gamma", s.normal(2)), s.param("beta", s.normal(2)), num_groups=2, eps=1e-5)
    x = s.op(
        "add_n",
        norm,
        group,
        s.op("LeakyReLU", x, act_type="elu", slope=0.3),
        s.op("LeakyReLU", x, act_type="selu"),
        num_args=4,
    )
    parts = s.op("SliceChannel", x, num_outputs=2, axis=1)
    x = s.op("elemwise_mul", parts, [parts[0], 1, 0])
    x = s.op("Pad", x, mode="edge", pad_width=(0, 0, 0, 0, 1, 2, 2, 1))
    x = s.op("Pad", x, mode="constant", pad_width=(0, 0, 0, 0, 1, 0, 0, 1), constant_value=0.5)
    cut = s.op("slice", x, begin="(None, 0, 1)", end="(None, 2, 8)", step="(None, 1, 2)")
    flipped = s.op("reverse", cut, axis=(3,))
    heads = [
        s.op("sum", x, axis=(2, 3)), s.op("mean", x, axis=1, exclude=True), s.op("max", x, axis=-1, keepdims=True),
        s.op("min", x, axis=(1,)), s.op("argmax", x, axis=1), s.op("broadcast_greater", s.op("elemwise_add", cut, cut), flipped), flipped,
        s.op("one_hot", s.op("argmax", x, axis=2), depth=12), s.op("Cast", s.op("_mul_scalar", x, scalar=3), dtype="int32"),
        s.op("Crop", x, offset=(1, 2), h_w=(5, 4), num_args=1), s.op("norm", x, axis=1),
    ]  # fmt: skip
    s.write(folder, *heads)
    return '{"data":[2,4,8,8]}'


def conv1d(folder: Path) -> str | None:
    s = Sym()
    w = s.param("weight", s.normal(6, 2, 5, scale=0.3))
    x = s.op(
        "Convolution", s.var("data"), w, kernel=(5,), stride=(2,), pad=(2,), num_filter=6, num_group=2, no_bias=True
    )
    x = s.op("Pooling", s.norm(x, 6), kernel=(3,), stride=(2,), pad=(1,), pool_type="max")
    x = s.op("expand_dims", x, axis=2)
    x = s.norm(s.op("transpose", x, axes=(0, 2, 3, 1)), 6, axis=3)
    s.write(folder, s.op("take", x, s.param("which", np.array([0, 3, 99, 5])), axis=2, mode="clip"))
    return '{"data":[1,4,40]}'


MODELS: dict[str, Callable[[Path], str | None]] = {
    f.__name__: f
    for f in (
        mlp, resnet_v1, resnext, mobilenet_v3, inception, segmenter, pose, detector_tail, lstm, gru, transformer, old_format, arithmetic, conv1d
    )
}  # fmt: skip


def feeds(shapes: dict[str, tuple[int, ...]], seed: int = 5) -> dict[str, np.ndarray]:
    """Seeded inputs; token inputs (rank 2 here) are small whole numbers."""
    random = np.random.default_rng(seed)
    return {
        name: (random.integers(0, 2 if name == "data1" else 30, shape) if len(shape) == 2 else random.random(shape)).astype(np.float32)
        for name, shape in shapes.items()
    }  # fmt: skip
