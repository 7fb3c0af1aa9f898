"""Random models of one com.microsoft operator each, in every form that ONNX Runtime's CPU code takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backends.native.random_families import level, scale
from backends.native.random_graphs import Maker, Sample

Parts = list[np.ndarray | None]


def made(m: Maker, op: str, parts: Parts, varying: tuple[int, ...] = (0,), **how: Any) -> Sample | None:
    """A sample whose inputs are constants but for `varying`; missing ones at the end are left out."""
    while parts[-1] is None:
        parts.pop()
    constants = {k: np.asarray(v) for k, v in enumerate(parts) if v is not None and k not in varying}
    return m.sample(op, parts, constants, domain="com.microsoft", **how)


def sometimes(m: Maker, value: Any) -> Any:
    return value if m.rng.random() < 0.5 else None


def products(m: Maker) -> Sample | None:
    rank, turned = m.pick(2, 3, 4), [m.pick(0, 1) for _ in range(4)]
    lead, inner = m.shape(rank - 2), m.pick(3, 7)
    arrays = []
    for side, sizes in enumerate(((m.pick(1, 5), inner), (inner, m.pick(1, 4)))):
        sizes = sizes[::-1] if turned[side] else sizes
        arrays.append(m.array((sizes[0], *lead, sizes[1]) if turned[2 + side] and rank > 2 else (*lead, *sizes)))
    names = dict(zip(("transA", "transB", "transBatchA", "transBatchB"), turned))
    return made(m, "FusedMatMul", arrays, (0, 1), alpha=m.pick(1.0, 0.3), **names)


def gemms(m: Maker) -> Sample | None:
    kind, numbers = m.pick(("Relu", ()), ("LeakyRelu", (0.2,)), ("HardSigmoid", (0.3, 0.4)), ("Tanh", ()))
    a, b = m.pick(0, 1), m.pick(0, 1)
    parts = [m.array((7, 5) if a else (5, 7)), m.array((3, 7) if b else (7, 3)), m.array(m.pick((3,), (5, 3), (5, 1)))]
    extra = dict(zip(("activation_alpha", "activation_beta"), numbers))
    return made(m, "FusedGemm", parts, activation=kind, transA=a, transB=b, beta=m.pick(1.0, 2.0), **extra)


def convolutions(m: Maker) -> Sample | None:
    kind, numbers = m.pick(("Relu", None), ("LeakyRelu", [0.2]), ("Clip", [-0.5, 1.0]), ("HardSigmoid", [0.3, 0.4]))
    step = m.pick(1, 2)
    rest = [sometimes(m, m.array((4,))), sometimes(m, m.array((2, 4, 6 // step + 1, 4 // step + 1)))]
    extra = {"activation_params": numbers} if numbers else {}
    parts = [m.array((2, 4, 7, 5)), m.array((4, 2, 3, 3)), *rest]
    return made(m, "FusedConv", parts, (0, 3), activation=kind, group=2, pads=[1] * 4, strides=[step] * 2, **extra)


def taken_over(m: Maker) -> Sample | None:
    """Small operators, most of which ONNX has too."""
    x = m.array((3, 7, 5))
    table: dict[str, tuple[Parts, dict[str, Any]]] = {
        "Trilu": ([x, np.array(1)], {"upper": m.pick(0, 1)}),
        "GatherND": ([x, np.array([[0, 1], [2, 6]])], {}),
        "GridSample": ([m.array((1, 2, 4, 5)), m.array((1, 3, 3, 2))], {"mode": m.pick("bilinear", "nearest")}),
        "Pad": ([x, np.array([1, 0, 0, 0, 2, 1])], {"mode": m.pick("constant", "reflect", "edge")}),
        "ExpandDims": ([x, np.array(m.pick(0, 1, -1, -2), np.int32)], {}),
        "ScaledSiLU": ([x], {"alpha": 1.7}),
        "CDist": ([m.array((3, 5)), m.array((4, 5))], {"metric": m.pick("euclidean", "sqeuclidean")}),
        "UnfoldTensor": ([x], {"dim": m.pick(0, 1, -1), "size": 2, "step": m.pick(1, 2)}),
        "Inverse": ([m.array(m.pick((2, 5, 5), (1, 1), (4, 4)))], {}),
        "BiasGelu": ([x, m.array((5,))], {}),
        "NhwcMaxPool": ([level(m, "int8", 2, 9, 7, 3)], {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}),
    }  # fmt: skip
    op = m.pick(*table)
    return made(m, op, *table[op][:1], **table[op][1])


def skips(m: Maker) -> Sample | None:
    width = m.pick(8, 17)
    parts = [m.array((2, 3, width)), m.array(m.pick((2, 3, width), (1, 3, width), (3, width))), m.array((width,))]
    simple = m.pick(False, True)
    parts += [] if simple else [sometimes(m, m.array((width,)))]
    op = "SkipSimplifiedLayerNormalization" if simple else "SkipLayerNormalization"
    return made(m, op, [*parts, sometimes(m, m.array((width,)))], (0, 1), opset=m.pick(11, 17, 21))


def mask(m: Maker, batch: int, queries: int, keys: int) -> np.ndarray | None:
    """No mask, lengths, starts and ends, or a number for each key; every query sees the first key."""
    kind, ends = m.pick("none", "ends", "both", "keys", "all"), m.rng.integers(1, keys + 1, batch)
    if kind == "none":
        return None
    if kind in ("ends", "both"):
        return np.concatenate([ends, np.zeros(batch if kind == "both" else 0)]).astype(np.int32)
    found = m.rng.integers(0, 2, (batch, keys) if kind == "keys" else (batch, queries, keys)).astype(np.int32)
    found[..., 0] = 1
    return found


def attention(m: Maker) -> Sample | None:
    batch, length, width, heads, size = m.pick(1, 2), m.pick(1, 5), m.pick(6, 16), m.pick(1, 3), m.pick(4, 8)
    deep, past = m.pick(size, 3), sometimes(m, 2)
    deep = size if past else deep
    total = heads * (2 * size + deep)
    parts: Parts = [m.array((batch, length, width)), m.array((width, total)), m.array((total,))]
    parts.append(mask(m, batch, length, length + (past or 0)))
    parts.append(m.array((2, batch, heads, past, size)) if past else None)
    if not past:
        parts.append(sometimes(m, m.array((m.pick(1, batch), m.pick(1, heads), length, length))))
    extra = {"qkv_hidden_sizes": [heads * size] * 2 + [heads * deep]} if deep != size else {}
    extra |= {"mask_filter_value": -50.0} if m.pick(0, 1) else {}
    varying = (0, 3, 4, 5)
    return made(m, "Attention", parts, varying, count=2 if past else 1, num_heads=heads, unidirectional=m.pick(0, 1), **extra)  # fmt: skip


def heads(m: Maker) -> Sample | None:
    batch, queries, count, size = m.pick(1, 2), m.pick(1, 5), m.pick(1, 3), m.pick(4, 8)
    ahead, past, cut = m.pick(0, 1), sometimes(m, 3) or 0, m.pick(False, False, True)
    keys, deep = queries if ahead else m.pick(2, 3), size if past or cut else m.pick(size, 5)
    keys, past = (queries, 0) if cut else (keys, past)
    shapes = [(batch, count, keys, size)] * 2 if cut else [(batch, keys, count * size), (batch, keys, count * deep)]
    parts: Parts = [m.array((batch, queries, count * size)), *map(m.array, shapes)]
    parts.append(sometimes(m, m.array((count * (2 * size + deep),))))
    kept = mask(m, batch, queries, keys + past)
    parts.append(kept if kept is None or kept.shape != (2 * batch,) or batch == 2 else None)
    parts.append(sometimes(m, m.array((1, m.pick(1, count), queries, keys + past))))
    parts += [m.array((batch, count, past, n)) for n in (size, deep)] if past else []
    return made(m, "MultiHeadAttention", parts, tuple(range(8)), count=3 if past else 1, num_heads=count, unidirectional=ahead)  # fmt: skip


def embeddings(m: Maker) -> Sample | None:
    batch, length, width = m.pick(1, 2), m.pick(1, 5), m.pick(4, 8)

    def words(most: int) -> np.ndarray:
        return m.rng.integers(0, most, (batch, length)).astype(np.int32)

    segments, quantised = m.pick(False, True), m.pick(False, True)
    shapes = [(20, width), (16, width), (2, width) if segments else None, (width,), (width,)]
    tables: Parts = [None if s is None else level(m, "uint8", *s) if quantised else m.array(s) for s in shapes]
    parts: Parts = [words(20), words(2) if segments else None, *tables, sometimes(m, words(2))]
    if quantised:
        for one in (lambda: scale(m), lambda: level(m, "uint8")):
            parts += [one() if s is not None else None for s in shapes]
        return made(m, "QEmbedLayerNormalization", parts, (0, 1, 7), count=2)
    return made(
        m,
        "EmbedLayerNormalization",
        [*parts, sometimes(m, words(16))],
        (0, 1, 7, 8),
        count=m.pick(2, 3),
        opset=m.pick(11, 17),
    )


def rotary(m: Maker) -> Sample | None:
    batch, length, count, flat, part = (
        m.pick(1, 2),
        m.pick(1, 5),
        m.pick(1, 3),
        m.pick(True, False),
        m.pick(True, False),
    )
    size = 16 if part else 8
    x = m.array((batch, length, count * size) if flat else (batch, count, length, size))
    at = np.array([m.pick(0, 2)]) if m.pick(0, 1) else m.rng.integers(0, 9, (batch, length))
    extra = {"num_heads": count, "rotary_embedding_dim": 8} if part else {}
    parts = [x, at, m.array((9, 4)), m.array((9, 4))]
    return made(m, "RotaryEmbedding", parts, (0, 1), interleaved=m.pick(0, 1), **extra)


def cached(m: Maker) -> Sample | None:
    """Grouped heads; one sentence, as places of a cache behind a shorter one's end are nobody's."""
    groups, size, prompt = m.pick(1, 2), 16, m.pick(True, False)
    count, length, past = groups * m.pick(1, 3), 4 if prompt else 1, 0 if prompt else m.pick(3, 6)
    total, packed = length + past, m.pick(True, False)
    parts: Parts = [m.array((1, length, (count + 2 * groups if packed else count) * size))]
    parts += [None if packed else m.array((1, length, groups * size)) for _ in range(2)]
    parts += [m.array((1, groups, past, size)) for _ in range(2)]
    parts += [np.array([total - 1], np.int32), np.array(total, np.int32)]
    turned = m.pick(0, 1)
    parts += [m.array((20, size // 2)) if turned else None for _ in range(2)]
    parts += [None, sometimes(m, m.array((1, m.pick(1, count), length, total)))]
    extra = {"softcap": 5.0} if m.pick(0, 1) else {}
    extra |= {"local_window_size": 3} if m.pick(0, 1) else {}
    varying = (0, 1, 2, 3, 4, 5, 10)
    return made(m, "GroupQueryAttention", parts, varying, count=3, num_heads=count, kv_num_heads=groups,
                do_rotary=turned, rotary_interleaved=m.pick(0, 1), **extra)  # fmt: skip


def integers(m: Maker) -> Sample | None:
    """Products of levels with float results."""
    if m.rng.random() < 0.2:
        return made(m, "MatMulInteger16", [m.array((3, 7), "int16"), m.array((7, 5), "int16")], (0, 1))
    kind, channels = m.pick("int8", "uint8"), m.pick((5,), ())
    b, sb, zb = level(m, kind, 7, 5), scale(m, *channels), sometimes(m, level(m, kind, *channels))
    bias, shape = sometimes(m, m.array((5,))), m.pick((3, 7), (2, 3, 7))
    if m.pick(0, 1):
        return made(m, "DynamicQuantizeMatMul", [m.array(shape), b, sb, zb, bias])
    parts = [level(m, "uint8", *shape), b, scale(m), sb, sometimes(m, level(m, "uint8")), zb, bias]
    return made(m, "MatMulIntegerToFloat", parts)


def quantised_attention(m: Maker) -> Sample | None:
    batch, length, width, count, size = m.pick(1, 2), m.pick(1, 5), m.pick(6, 16), m.pick(1, 3), m.pick(4, 8)
    total, kind, past = 3 * count * size, m.pick("int8", "uint8"), sometimes(m, 2)
    channels = m.pick((total,), ())
    kept = mask(m, batch, length, length + (past or 0))
    parts = [
        level(m, "uint8", batch, length, width), level(m, kind, width, total), m.array((total,)), scale(m), scale(m, *channels),
        kept if kept is None or kept.ndim < 3 else None, level(m, "uint8"), np.full(channels, 0 if kind == "int8" else 128, kind),
        m.array((2, batch, count, past, size)) if past else None,
    ]  # fmt: skip
    return made(m, "QAttention", parts, (0, 5, 8), count=2 if past else 1, num_heads=count, unidirectional=m.pick(0, 1))


def levels(m: Maker) -> Sample | None:
    """From levels to levels; one level off is a rounding."""
    kind, last, op = m.pick("int8", "uint8"), m.pick(0, 1), m.pick("Softmax", "AveragePool", "Conv", "Where")
    x = level(m, kind, *((2, 9, 7, 4) if last else (2, 4, 9, 7)))
    wide = np.float32(0.02)
    if op == "Softmax":
        parts = [x, np.float32(0.05), sometimes(m, level(m, kind)), np.float32(1 / 256), np.array({"int8": -128, "uint8": 0}[kind], kind)]  # fmt: skip
        return made(m, f"QLinear{op}", parts, levels=1, axis=int(m.pick(-4, -2, -1, 1, 3)), named={"opset": m.pick(11, 13)})  # fmt: skip
    if op == "AveragePool":
        extra: dict[str, Any] = {"ceil_mode": m.pick(0, 1), "count_include_pad": m.pick(0, 1), "pads": m.pick([0] * 4, [1, 0, 1, 1])}  # fmt: skip
        parts = [x, scale(m), level(m, kind), wide, level(m, kind)]
        return made(m, f"QLinear{op}", parts, levels=1, channels_last=last, kernel_shape=[3, 2], strides=[2, 1], **extra)  # fmt: skip
    if op == "Conv":
        filters, bias = level(m, "int8", 6, 2, 3, 3), m.rng.integers(-900, 900, 6).astype(np.int32)
        parts = [x, scale(m), level(m, kind), filters, scale(m, 6), np.zeros(6, np.int8), np.float32(0.7), level(m, kind)]  # fmt: skip
        return made(m, f"QLinear{op}", [*parts, sometimes(m, bias)], levels=1, channels_last=last, group=2, strides=[2, 1])  # fmt: skip
    sides = [y for shape in ((3, 5, 1), (4,)) for y in (level(m, kind, *shape), scale(m), level(m, kind))]
    return made(m, "QLinearWhere", [m.array((3, 1, 4), "bool"), *sides, wide, level(m, kind)], (0, 1, 4), levels=1)


def recurrent(m: Maker) -> Sample | None:
    """One sequence: ONNX Runtime finds the levels of all states of a batch together, in parts that its threads make."""
    steps, width, size, directions = m.pick(1, 5, 9), m.pick(3, 8), m.pick(4, 5, 16), m.pick(1, 2)
    kind, rows = m.pick("int8", "uint8"), 4 * size
    shape = m.pick((directions,), (directions, rows))
    zero = np.full(shape, 0 if kind == "int8" else 128, kind)
    parts: Parts = [m.array((steps, 1, width)), level(m, kind, directions, width, rows), level(m, kind, directions, size, rows)]  # fmt: skip
    parts += [sometimes(m, m.array((directions, 2 * rows))), None]
    parts += [sometimes(m, m.array((directions, 1, size))) for _ in range(2)]
    parts += [None, scale(m, *shape) / 5, zero, scale(m, *shape) / 5, zero]
    way = "bidirectional" if directions == 2 else m.pick("forward", "reverse")
    return made(m, "DynamicQuantizeLSTM", parts, (0, 5, 6), count=3, hidden_size=size, direction=way)


def packed(m: Maker) -> Sample | None:
    """Weights of a few bits."""
    depth, block, columns, bits = m.pick(32, 48, 100), m.pick(16, 32, 64), m.pick(1, 5, 17), m.pick(2, 4, 8)
    blocks = -(-depth // block)
    zero = m.pick(None, level(m, "uint8", columns, -(-blocks * bits // 8)))
    if bits == 4 and m.pick(0, 1):
        zero = (m.rng.random((columns, blocks)) * 16).astype(np.float32)
    parts = [m.array(m.pick((1, depth), (2, 3, depth))), level(m, "uint8", columns, blocks, block * bits // 8)]
    parts += [scale(m, columns, blocks), zero, None, sometimes(m, m.array((columns,)))]
    return made(m, "MatMulNBits", parts, bits=bits, block_size=block, named={"K": depth, "N": columns})


def bits_and_bytes(m: Maker) -> Sample | None:
    """Floats and quantiles of 4 bits, blocks that cross rows."""
    depth, columns, block = m.pick(16, 48, 33), m.pick(2, 5, 17), m.pick(16, 64)
    size = depth * columns
    parts = [m.array((3, depth)), level(m, "uint8", -(-size // 2)), scale(m, -(-size // block))]
    return made(m, "MatMulBnb4", parts, block_size=block, quant_type=m.pick(0, 1), named={"K": depth, "N": columns})


def looked_up(m: Maker) -> Sample | None:
    """Rows of a table of a few bits."""
    width, block, bits = m.pick(32, 64), m.pick(16, 32), m.pick(2, 4, 8)
    shape, blocks = m.pick((7,), (5, 6)), width // block
    parts = [level(m, "uint8", *shape, width * bits // 8), m.rng.integers(-5, 5, m.pick((3,), (2, 3))), scale(m, *shape, blocks)]  # fmt: skip
    parts.append(sometimes(m, level(m, "uint8", *shape, -(-blocks * bits // 8))))
    return made(m, "GatherBlockQuantized", parts, (1,), opset=21, block_size=block, quantize_axis=len(shape), bits=bits)


CONTRIBUTED: dict[str, Callable[[Maker], Sample | None]] = {
    f.__name__: f
    for f in (
        products, gemms, convolutions, taken_over, skips, attention, heads, embeddings, rotary, cached, integers,
        quantised_attention, levels, recurrent, packed, bits_and_bytes, looked_up,
    )
}  # fmt: skip
