"""SVMClassifier: votes of all pairs of classes, or probabilities coupled from them (Wu, Lin and Weng's second method)."""

from __future__ import annotations

import numpy as np

from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.operators import Context, operator
from neo_cli.backends.native.ops.classic_ml import _floats, _kernel, _shape, dots
from neo_cli.backends.native.ops.reading import text
from neo_cli.backends.native.ops.tree_classes import POSTS
from neo_cli.backends.native.ops.trees import ML, labels_of

COUPLE = """
static __attribute__((unused)) void pm_couple(const float *r, float *q, float *p, float *qp, int n)
{
    for (int i = 0; i < n; i++) {
        p[i] = 1.0f / n;
        q[i * n + i] = 0;
        for (int j = 0; j < n; j++) if (j != i) {
            q[i * n + i] += r[j * n + i] * r[j * n + i];
            q[i * n + j] = j < i ? q[j * n + i] : -r[j * n + i] * r[i * n + j];
        }
    }
    for (int turn = 0; turn < 100; turn++) {
        float all = 0, worst = 0;
        for (int i = 0; i < n; i++) {
            qp[i] = 0;
            for (int j = 0; j < n; j++) qp[i] += q[i * n + j] * p[j];
            all += p[i] * qp[i];
        }
        for (int i = 0; i < n; i++) { const float e = pm_absf(qp[i] - all); worst = e > worst ? e : worst; }
        if (worst < 0.005f / n) break;
        for (int i = 0; i < n; i++) {
            const float d = (all - qp[i]) / q[i * n + i];
            p[i] += d;
            all = (all + d * (d * q[i * n + i] + 2 * qp[i])) / (1 + d) / (1 + d);
            for (int j = 0; j < n; j++) { qp[j] = (qp[j] + d * q[i * n + j]) / (1 + d); p[j] /= 1 + d; }
        }
    }
}
"""


def _both(node: Node, ctx: Context, post: str) -> str:
    """The scores of two classes from their one number s."""
    if post == "PROBIT":
        raise ctx.refuse(node, "PROBIT of one score for two classes, which ONNX Runtime leaves half written")
    if post == "LOGISTIC":
        return "y1[i * 2] = pm_logistic(-s); y1[i * 2 + 1] = pm_logistic(s);"
    return f"y1[i * 2] = {'-s' if post == 'NONE' else '1 - s'}; y1[i * 2 + 1] = s;"


def _linear(node: Node, ctx: Context, labels: list[int]) -> str:
    """Without support vectors: a product for each class; of two the second wins above a limit, else the larger."""
    rows, _ = _shape(node)
    weights, count, post = _floats(node, "coefficients"), len(labels), text(node, "post_transform", "NONE")
    limit = "z[best] >= 0.5f" if (weights >= 0).all() else "z[best] > 0"
    second = f"if ({limit}) best = 1;" if count == 2 else ""
    posted = f"pm_post({POSTS.index(post)}, z, {count});" if post != "NONE" else ""
    return f"""{{ SPLIT({rows});
for (idx i = begin; i < end; i++) {{
{dots(ctx, node, weights, np.repeat(_floats(node, "rho")[:1], count))}
int best = 0;
for (int k = 1; k < {count}; k++) best = z[k] > z[best] ? k : best;
{second}
y0[i] = {ctx.constant(np.array(labels, np.int64))}[best];
{posted}
for (int k = 0; k < {count}; k++) y1[i * {count} + k] = z[k];
}} }}"""


@operator("SVMClassifier", domain=ML)
def svm_classifier(node: Node, ctx: Context) -> str:
    ctx.include("plain_trees.h")
    ctx.declare(COUPLE)
    labels = labels_of(node, ctx, "classlabels_ints")
    counts = [int(v) for v in node.attrs.get("vectors_per_class", ())]
    if not counts:
        return _linear(node, ctx, labels)
    post = text(node, "post_transform", "NONE")
    rows, width = _shape(node)
    many, classes = sum(counts), len(counts)
    pairs = classes * (classes - 1) // 2
    first = ctx.constant(np.cumsum([0, *counts]).astype(np.int32))
    weights, vectors = ctx.constant(_floats(node, "coefficients")), ctx.constant(_floats(node, "support_vectors"))
    rho, table = ctx.constant(_floats(node, "rho")), ctx.constant(np.array(labels, np.int64))
    kernels = ctx.scratch(many, private=True)
    chances = _floats(node, "prob_a")
    if chances.size:
        a, b = ctx.constant(chances), ctx.constant(_floats(node, "prob_b"))
        n2 = classes * classes
        pair = (
            f"votes[s > 0 ? i1 : i2]++; float v = 1 - pm_logistic(s * {a}[e] + {b}[e]); v = v < 1e-7f ? 1e-7f : (v > 1 - 1e-7f ? 1 - 1e-7f : v); "
            f"r[i1 * {classes} + i2] = v; r[i2 * {classes} + i1] = 1 - v;"
        )
        before = f"float r[{n2}], q[{n2}], p[{classes}], qp[{classes}];"
        scores, two = classes, ""
        after = f"pm_couple(r, q, p, qp, {classes}); for (int k = 0; k < {classes}; k++) y1[i * {classes} + k] = p[k];"
    else:
        scores = 2 if classes == 2 else pairs
        before, after, two = "", "", _both(node, ctx, post) if classes == 2 else ""
        pair = f"votes[s > 0 ? i1 : i2]++; {two or f'y1[i * {scores} + e] = s;'}"
    if post != "NONE" and not two:
        after += f"\npm_post({POSTS.index(post)}, y1 + i * {scores}, {scores});"
    return f"""{{ SPLIT({rows});
for (idx i = begin; i < end; i++) {{
{before}
int votes[{classes}] = {{ 0 }};
for (idx s = 0; s < {many}; s++) {{ {_kernel(ctx, node, vectors, width)} {kernels}[s] = kv; }}
int e = 0;
for (int i1 = 0; i1 < {classes}; i1++) for (int i2 = i1 + 1; i2 < {classes}; i2++, e++) {{
float s = 0;
for (int k = {first}[i1]; k < {first}[i1 + 1]; k++) s += {weights}[(i2 - 1) * {many} + k] * {kernels}[k];
for (int k = {first}[i2]; k < {first}[i2 + 1]; k++) s += {weights}[i1 * {many} + k] * {kernels}[k];
s += {rho}[e];
{pair}
}}
{after}
int best = 0; /* the label is by votes, as scikit-learn has it */
for (int k = 1; k < {classes}; k++) best = votes[k] > votes[best] ? k : best;
y0[i] = {table}[best];
}} }}"""
