"""com.microsoft operators of transformers as the products, masks and soft maxima that they stand for."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from neo_cli.backends.native.ops.contributed_quantised import integer_product
from neo_cli.backends.native.ops.expansions import MICROSOFT, Writer, expansion

LOWEST = float(np.finfo(np.float32).min)


@dataclass
class Sizes:
    """Batch, queries, keys (past ones included), past ones, heads, width of a head of q and k, and of v."""

    batch: int
    queries: int
    keys: int
    past: int
    heads: int
    width: int
    deep: int


def rows(w: Writer, x: str, s: Sizes, length: int, width: int, heads: int = 0) -> str:
    """[batch, length, heads * width] as [batch, heads, length, width]."""
    return w.turn(w.reshape(x, s.batch, length, heads or s.heads, width), 0, 2, 1, 3)


def mask(w: Writer, position: int, s: Sizes, fill: float, dtype: str) -> list[str]:
    """What the mask input and `unidirectional` add to the scores, each of it broadcast over [batch, heads, queries, keys]."""
    found = []
    if w.name(position):
        shape, name = w.value(position).shape, w.name(position)
        if shape in ((s.batch,), (2 * s.batch,)):
            at = w.const(np.arange(s.keys).reshape(1, 1, 1, -1), "int32")
            ends = w.reshape(w.cut(w.cast(name, "int32"), 0, 0, s.batch), s.batch, 1, 1, 1)
            keep = w.op("Less", at, ends)
            if shape != (s.batch,):
                starts = w.reshape(w.cut(w.cast(name, "int32"), 0, s.batch, 2 * s.batch), s.batch, 1, 1, 1)
                keep = w.op("And", keep, w.op("Not", w.op("Less", at, starts)))
        elif shape in ((s.batch, s.keys), (s.batch, s.queries, s.keys)):
            queries = s.queries if len(shape) == 3 else 1
            keep = w.op("Greater", w.reshape(name, s.batch, 1, queries, s.keys), w.const(0, w.value(position).dtype))
        else:
            raise w.refuse(f"its mask has the shape {shape}")
        found.append(w.op("Where", keep, w.const(0, dtype), w.const(fill, dtype)))
    if w.attribute("unidirectional", 0):
        ahead = np.arange(s.keys)[None, :] > np.arange(s.queries)[:, None] + s.past
        found.append(w.const(np.where(ahead, LOWEST if dtype == "float32" else fill, 0)[None, None], dtype))
    return found


def attend(
    w: Writer, q: str, k: str, v: str, s: Sizes, masks: list[str], dtype: str, out: str, cap: float = 0.0
) -> None:
    """softmax(q k' * scale + masks) v; q, k and v are [batch, heads, length, width]; `cap` bends the scores to ]-cap, cap[."""
    scale = float(w.attribute("scale", 0.0) or 0.0) or 1 / math.sqrt(s.width)
    scores = w.scaled(w.op("MatMul", q, w.turn(k, 0, 1, 3, 2)), scale, dtype)
    if cap:
        scores = w.scaled(w.op("Tanh", w.scaled(scores, 1 / cap, dtype)), cap, dtype)
    while len(masks) > 1:  # one sum over the scores: the fused form adds one mask
        masks = [w.op("Add", masks[0], masks[1]), *masks[2:]]
    if masks:
        scores = w.op("Add", scores, masks[0])
    mixed = w.op("MatMul", w.op("Softmax", scores, axis=3), v)
    w.reshape(w.turn(mixed, 0, 2, 1, 3), s.batch, s.queries, s.heads * s.deep, out=out)


def refuse_attributes(w: Writer, *names: str) -> None:
    for name in names:
        if w.attribute(name, 0) > 0:
            raise w.refuse(f"{name} is set")


def _self_attention(w: Writer, projected: str, mask_at: int, past_at: int, bias_at: int | None, weights: int) -> None:
    """Attention over the rows [batch, length, q + k + v] of `projected`."""
    refuse_attributes(w, "past_present_share_buffer", "do_rotary")
    batch, length, _ = w.value(0).shape
    heads = int(w.attribute("num_heads"))
    parts = [int(n) for n in w.attribute("qkv_hidden_sizes", ())] or [weights // 3] * 3
    past = w.value(past_at).shape[3] if w.name(past_at) else 0
    s = Sizes(batch, length, length + past, past, heads, parts[0] // heads, parts[2] // heads)
    q, k, v = (rows(w, x, s, length, n // heads) for x, n in zip(w.split(projected, 2, parts), parts))
    if w.name(past_at):
        old = [w.op("Gather", w.name(past_at), w.const(i, "int64"), axis=0) for i in (0, 1)]
        k, v = w.op("Concat", old[0], k, axis=2), w.op("Concat", old[1], v, axis=2)
    if w.result(1):
        shape = (1, batch, heads, s.keys)
        w.op("Concat", w.reshape(k, *shape, s.width), w.reshape(v, *shape, s.deep), out=w.result(1), axis=0)
    masks = mask(w, mask_at, s, float(w.attribute("mask_filter_value", -10000.0)), "float32")
    if bias_at is not None and w.name(bias_at):
        masks.append(w.name(bias_at))
    attend(w, q, k, v, s, masks, "float32", w.result(0))


@expansion("Attention")
def attention(w: Writer) -> None:
    """One product for q, k and v, then attention."""
    y = w.op("MatMul", w.name(0), w.name(1))
    if w.name(2):
        y = w.op("Add", y, w.name(2))
    _self_attention(w, y, 3, 4, 5, w.value(1).shape[1])


@expansion("QAttention")
def quantised_attention(w: Writer) -> None:
    """Attention whose first product is of integers."""
    x, weights, bias, scale_x, scale_w, _, zero_x, zero_w = map(w.name, range(8))
    y = integer_product(w, x, weights, [scale_x, scale_w], [zero_x, zero_w], bias, "")
    _self_attention(w, y, 5, 8, None, w.value(1).shape[1])


@expansion("MultiHeadAttention")
def multi_head(w: Writer) -> None:
    """Attention of given q, k and v, each [batch, length, heads * width]; k and v may come cut into heads already."""
    if w.name(8) or w.name(9):
        raise w.refuse("it shares the buffers of past and present")
    if not (w.name(1) and w.name(2)):
        raise w.refuse("its query, key and value come in one tensor")
    query, key, value = (w.value(k) for k in range(3))
    heads, dtype = int(w.attribute("num_heads")), query.dtype
    batch, queries, hidden = query.shape
    cut = len(key.shape) == 4
    past = w.value(6).shape[2] if w.name(6) else 0
    new = key.shape[2] if cut else key.shape[1]
    deep = value.shape[3] if cut else value.shape[2] // heads
    s = Sizes(batch, queries, new + past, past, heads, hidden // heads, deep)
    names = [w.name(0), w.name(1), w.name(2)]
    if w.name(3):
        biases = w.split(w.name(3), 0, [hidden, hidden, deep * heads])
        for i in (0,) if cut else (0, 1, 2):
            names[i] = w.op("Add", names[i], biases[i])
    q = rows(w, names[0], s, queries, s.width)
    k, v = names[1:] if cut else (rows(w, names[1], s, new, s.width), rows(w, names[2], s, new, deep))
    if past or w.name(6):
        k, v = w.op("Concat", w.name(6), k, axis=2), w.op("Concat", w.name(7), v, axis=2)
    for position, x in ((1, k), (2, v)):
        if w.result(position):
            w.op("Identity", x, out=w.result(position))
    if w.result(3):
        raise w.refuse("its scores are a result")
    masks = mask(w, 4, s, float(w.attribute("mask_filter_value", -10000.0)), dtype)
    if w.name(5):
        masks.append(w.name(5))
    attend(w, q, k, v, s, masks, dtype, w.result(0))


@expansion("SkipLayerNormalization", "SkipSimplifiedLayerNormalization")
def skip_norm(w: Writer) -> None:
    """The sum of two tensors (and a bias), normalised along the last axis; the sum may be a result."""
    simple = w.node.op_type != "SkipLayerNormalization"
    total, bias = w.op("Add", w.name(0), w.name(1)), w.name(3 if simple else 4)
    if bias:
        total = w.op("Add", total, bias)
    if w.result(3):
        total = w.op("Identity", total, out=w.result(3))
    if w.result(1) or w.result(2):
        raise w.refuse("its mean is a result")
    affine = [w.name(2)] if simple or not w.name(3) else [w.name(2), w.name(3)]
    kind, domain = ("SimplifiedLayerNormalization", MICROSOFT) if simple else ("LayerNormalization", "")
    epsilon = float(w.attribute("epsilon", 1e-12))
    w.op(kind, total, *affine, out=w.result(0), domain=domain, axis=-1, epsilon=epsilon)


@expansion("BiasGelu")
def bias_gelu(w: Writer) -> None:
    w.op("Gelu", w.op("Add", w.name(0), w.name(1)), out=w.result(0), domain=MICROSOFT)


def _embedded(w: Writer, tables: list[str], ids: list[str], affine: list[str], outs: tuple[str, str]) -> None:
    """The sum of the rows that ids name (words, positions, segments), normalised."""
    length = w.value(0).shape[1]
    table = w.op("Gather", tables[0], ids[0], axis=0)
    at = ids[1] or w.const(np.arange(length)[None], "int64")
    place = w.op("Gather", tables[1], at, axis=0)
    total = w.op("Add", table, place)
    if ids[2]:
        total = w.op("Add", total, w.op("Gather", tables[2], ids[2], axis=0))
    if outs[1]:
        w.op("Identity", total, out=outs[1])
    epsilon = float(w.attribute("epsilon", 1e-12))
    w.op("LayerNormalization", total, *affine, out=outs[0], axis=-1, epsilon=epsilon)


def _counted(w: Writer, mask_at: int) -> None:
    """How many words of each sentence the mask keeps."""
    if not w.result(1):
        return
    batch = w.value(0).shape[0]
    if not w.name(mask_at):
        w.op("Identity", w.const(np.zeros(batch), "int32"), out=w.result(1))
        return
    ones = w.cast(w.name(mask_at), "float32")
    total = w.op("MatMul", ones, w.const(np.ones(w.value(mask_at).shape[1])))
    w.cast(total, "int32", out=w.result(1))


@expansion("EmbedLayerNormalization")
def embedding(w: Writer) -> None:
    tables = [w.name(k) for k in (2, 3, 4)]
    _embedded(w, tables, [w.name(0), w.name(8), w.name(1)], [w.name(5), w.name(6)], (w.result(0), w.result(2)))
    _counted(w, 7)


@expansion("QEmbedLayerNormalization")
def quantised_embedding(w: Writer) -> None:
    tables = [
        w.op("DequantizeLinear", w.name(k), w.name(scale), w.name(scale + 5)) if w.name(k) else ""
        for k, scale in ((2, 8), (3, 9), (4, 10))
    ]
    affine = [w.op("DequantizeLinear", w.name(k), w.name(k + 6), w.name(k + 11)) for k in (5, 6)]
    _embedded(w, tables, [w.name(0), "", w.name(1)], affine, (w.result(0), ""))
    _counted(w, 7)
