"""com.microsoft operators of decoders: rotary positions, and attention of grouped heads over a cache of keys and values."""

from __future__ import annotations

import numpy as np

from neo_cli.backends.native.ops.contributed_attention import LOWEST, Sizes, attend, refuse_attributes, rows
from neo_cli.backends.native.ops.expansions import Writer, expansion


def turned(w: Writer, x: str, cos: str, sin: str, shape: tuple[int, ...], count: int, interleaved: bool) -> str:
    """The first `count` elements of the last axis of x, of `shape`, turned in pairs."""
    width = shape[-1]
    part = x if count == width else w.cut(x, 3, 0, count)
    pairs = w.reshape(part, *shape[:-1], *((count // 2, 2) if interleaved else (2, count // 2)))
    axis = 4 if interleaved else 3
    one, two = (w.op("Gather", pairs, w.const(i, "int64"), axis=axis) for i in (0, 1))
    real = w.op("Sub", w.op("Mul", one, cos), w.op("Mul", two, sin))
    other = w.op("Add", w.op("Mul", one, sin), w.op("Mul", two, cos))
    flat = (*shape[:-1], *((count // 2, 1) if interleaved else (1, count // 2)))
    made = w.op("Concat", w.reshape(real, *flat), w.reshape(other, *flat), axis=axis)
    made = w.reshape(made, *shape[:-1], count)
    return made if count == width else w.op("Concat", made, w.cut(x, 3, count, width), axis=3)


@expansion("RotaryEmbedding")
def rotary(w: Writer) -> None:
    """Pairs of each head's elements turned by the angles of their positions."""
    refuse_attributes(w, "is_packed_batching")
    x, cache = w.value(0), w.value(2)
    heads, flat = int(w.attribute("num_heads", 0)), len(x.shape) == 3
    count = int(w.attribute("rotary_embedding_dim", 0)) or 2 * cache.shape[1]
    if flat:
        batch, length, hidden = x.shape
        width = hidden // heads if heads else 2 * cache.shape[1]
        shape: tuple[int, ...] = (batch, length, hidden // width, width)
        source = w.reshape(w.name(0), *shape)
    else:
        batch, _, length, width = shape = x.shape
        source = w.name(0)
    at = w.name(1)
    if w.value(1).shape != (batch, length):  # one number: the position of the first
        at = w.op("Add", w.reshape(at, 1, 1), w.const(np.arange(length)[None], "int64"))
    each = batch if w.value(1).shape == (batch, length) else 1
    place = (each, length, 1, count // 2) if flat else (each, 1, length, count // 2)
    cos, sin = (w.reshape(w.op("Gather", w.name(k), at, axis=0), *place) for k in (2, 3))
    made = turned(w, source, cos, sin, shape, count, bool(w.attribute("interleaved", 0)))
    w.reshape(made, *x.shape, out=w.result(0))


REFUSED = ("sliding_window_cache", "kv_cache_bit_width", "qk_output", "smooth_softmax")


@expansion("GroupQueryAttention")
def grouped(w: Writer) -> None:
    """Attention in which several heads of q share one of k and v; new keys go behind those that `seqlens_k` says are there."""
    refuse_attributes(w, *REFUSED)
    if any(w.name(k) for k in range(11, 17)):
        raise w.refuse("it has a head sink, scales or norms of its own")
    batch, length, hidden = w.value(0).shape
    heads, groups = int(w.attribute("num_heads")), int(w.attribute("kv_num_heads"))
    width = hidden // heads if w.name(1) else hidden // (heads + 2 * groups)
    past = w.value(3).shape[2] if w.name(3) else 0
    total = w.constant(6)
    if total is None:
        raise w.refuse("its total length is known only at run time")
    keys = int(total.reshape(-1)[0])
    kept = max(past, keys)  # a cache as long as it ever gets keeps its length
    first = keys == length
    s = Sizes(batch, length, keys, past, heads, width, width)
    q, k, v = _cut(w, s, groups)
    start = _starts(w, batch, length, first)
    if w.attribute("do_rotary", 0):
        q, k = _turned_heads(w, (q, heads), (k, groups), s, start, first)
    if w.name(3) and not first:
        place = _places(w, start, past, length, kept)
        k, v = (_appended(w, w.name(at), x, place, (batch, groups, kept, width)) for at, x in ((3, k), (4, v)))
    elif kept > length:
        pad = w.const(np.zeros((batch, groups, kept - length, width)), w.value(0).dtype)
        k, v = (w.op("Concat", x, pad, axis=2) for x in (k, v))
    for position, x in ((1, k), (2, v)):
        if w.result(position):
            w.op("Identity", x, out=w.result(position))
    if kept > keys:
        k, v = (w.cut(x, 2, 0, keys) for x in (k, v))
    shared = w.const(np.arange(heads) // (heads // groups), "int64")
    k, v = (w.op("Gather", x, shared, axis=1) if heads != groups else x for x in (k, v))
    masks = [_visible(w, start, length, keys, w.value(0).dtype)]
    if w.name(10):
        masks.append(w.name(10))
    attend(w, q, k, v, s, masks, w.value(0).dtype, w.result(0), float(w.attribute("softcap", 0.0)))


def _cut(w: Writer, s: Sizes, groups: int) -> list[str]:
    """q, k and v as [batch, heads, length, width], from three inputs or from the rows of one."""
    counts = (s.heads, groups, groups)
    sources = [w.name(k) for k in range(3)]
    if not w.name(1):
        sources = w.split(w.name(0), 2, [n * s.width for n in counts])
    return [rows(w, x, s, s.queries, s.width, count) for x, count in zip(sources, counts)]


def _starts(w: Writer, batch: int, length: int, first: bool) -> str:
    """Where the new keys of each sentence begin, [batch, 1]: int64."""
    if first:
        return w.const(np.zeros((batch, 1)), "int64")
    last = w.reshape(w.cast(w.name(5), "int64"), batch, 1)
    return w.op("Sub", last, w.const(length - 1, "int64"))


def _turned_heads(
    w: Writer, q: tuple[str, int], k: tuple[str, int], s: Sizes, start: str, first: bool
) -> tuple[str, str]:
    """q and k turned by the angles of their positions."""
    at = w.op("Add", start, w.const(np.arange(s.queries)[None], "int64"))
    if w.name(9):
        at = w.name(9)
    count = 2 * w.value(7).shape[1]
    cos, sin = (w.reshape(w.op("Gather", w.name(n), at, axis=0), -1, 1, s.queries, count // 2) for n in (7, 8))
    pairs = bool(w.attribute("rotary_interleaved", 0))
    made = [turned(w, x, cos, sin, (s.batch, heads, s.queries, s.width), count, pairs) for x, heads in (q, k)]
    return made[0], made[1]


def _places(w: Writer, start: str, past: int, length: int, kept: int) -> str:
    """For each place of the new cache, [batch, kept]: where it lies in the old one with the new keys behind it."""
    at = w.const(np.arange(kept)[None], "int64")
    far = w.op("Sub", at, start)
    new = w.op("And", w.op("Not", w.op("Less", far, w.const(0, "int64"))), w.op("Less", far, w.const(length, "int64")))
    old = w.const(np.minimum(np.arange(kept), past - 1)[None], "int64")  # what lies behind the new keys stays
    return w.op("Where", new, w.op("Add", far, w.const(past, "int64")), old)


def _appended(w: Writer, old: str, new: str, place: str, shape: tuple[int, ...]) -> str:
    """The elements of old and new along axis 2 that `place` names."""
    wide = w.op("Expand", w.reshape(place, shape[0], 1, shape[2], 1), w.const(shape, "int64"))
    return w.op("GatherElements", w.op("Concat", old, new, axis=2), wide, axis=2)


def _visible(w: Writer, start: str, length: int, keys: int, dtype: str) -> str:
    """0 where a query sees a key, the lowest number elsewhere: [batch, 1, length, keys]."""
    query = w.op("Add", w.reshape(start, -1, 1, 1, 1), w.const(np.arange(length).reshape(1, 1, -1, 1), "int64"))
    key = w.const(np.arange(keys).reshape(1, 1, 1, -1), "int64")
    behind = query if w.attribute("causal", 1) else w.op("Add", query, w.const(length, "int64"))
    seen = w.op("Less", key, w.op("Add", behind, w.const(1, "int64")))
    window = int(w.attribute("local_window_size", -1))
    if window > 0:
        seen = w.op("And", seen, w.op("Less", query, w.op("Add", key, w.const(window, "int64"))))
    return w.op("Where", seen, w.const(0, dtype), w.const(LOWEST if dtype == "float32" else -65504, dtype))
