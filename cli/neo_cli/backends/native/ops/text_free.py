"""TfIdfVectorizer on numbers: how often each n-gram of the pool occurs in a row."""

from __future__ import annotations

import itertools

import numpy as np

from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.operators import Context, operator
from neo_cli.backends.native.ops.reading import integer, integers, needed, text


@operator("TfIdfVectorizer")
def tf_idf(node: Node, ctx: Context) -> str:
    x, y = needed(node, 0), node.outputs[0]
    pool = integers(node, "pool_int64s")
    if not pool:
        raise ctx.refuse(node, "its pool is text")
    low, high, skips = (
        integer(node, "min_gram_length", 1),
        integer(node, "max_gram_length", 1),
        integer(node, "max_skip_count", 0),
    )
    starts = [*(integers(node, "ngram_counts") or []), len(pool)]
    places = integers(node, "ngram_indexes") or []
    weights = [float(w) for w in node.attrs.get("weights", ())] or [1.0] * len(places)
    mode = text(node, "mode", "TF")
    rows: list[tuple[int, int, int, float]] = []  # (length, where in the pool, result)
    for length, (start, end) in enumerate(itertools.pairwise(starts), 1):
        for at in range(start, end, length):
            place = places[len(rows)]
            rows.append((length if low <= length <= high else 0, at, place, weights[len(rows)]))
    grams = ctx.constant(np.array([r[:3] for r in rows], np.int32).reshape(-1))
    factors = ctx.constant(np.array([r[3] for r in rows], np.float32))
    words = ctx.constant(np.array(pool, np.int64))
    many, width = (x.shape[0], x.shape[1]) if len(x.shape) > 1 else (1, x.shape[0])
    size = y.shape[-1]
    count = {"TF": "count", "IDF": f"(count > 0) * {factors}[g]", "TFIDF": f"count * {factors}[g]"}[mode]
    return f"""{{ SPLIT({many});
for (idx i = begin; i < end; i++) {{
for (idx j = 0; j < {size}; j++) y0[i * {size} + j] = 0;
for (int g = 0; g < {len(rows)}; g++) {{
const idx length = {grams}[g * 3], at = {grams}[g * 3 + 1];
float count = 0;
for (idx skip = 0; length > 0 && skip <= (length > 1 ? {skips} : 0); skip++)
for (idx t = 0; t + (length - 1) * (skip + 1) < {width}; t++) {{
int same = 1;
for (idx k = 0; k < length; k++) same &= (long long)x0[i * {width} + t + k * (skip + 1)] == {words}[at + k];
count += same;
}}
y0[i * {size} + {grams}[g * 3 + 2]] += {count};
}} }} }}"""
