"""TreeEnsembleRegressor, TreeEnsembleClassifier and TreeEnsemble: walks of many rows, or of many trees, at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.operators import Context, operator
from neo_cli.backends.native.ops import types
from neo_cli.backends.native.ops.forest import Ensemble, Flat, classic, flatten, modern
from neo_cli.backends.native.ops.reading import needed, text
from neo_cli.backends.native.ops.tree_classes import POSTS, many_classes, one_class, posted, two_classes

ML = "ai.onnx.ml"
LANES, BLOCK = 16, 64  # walks at once; rows for which one tree's nodes stay in the nearest cache
AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")


def _added(ctx: Context, flat: Flat, targets: int, real: str, how: str) -> str:
    """The statements that add the leaf at[r] of tree `t` to row `q`'s sums acc[q * targets ...]."""
    size = len(flat.value)
    step = {
        "MIN": "acc[{0}] = {1} < acc[{0}] ? {1} : acc[{0}];",
        "MAX": "acc[{0}] = {1} > acc[{0}] ? {1} : acc[{0}];",
    }.get(how, "acc[{0}] += {1};")
    single = all(len(leaf) <= 1 for leaf in flat.leaves.values())
    if single and targets == 1:
        single_weights = np.zeros(size, np.float64)
        for at, leaf in flat.leaves.items():
            single_weights[at] = leaf[0][1] if leaf else 0.0
        name = ctx.constant(single_weights.astype(np.float64 if real == "double" else np.float32))
        return step.format("q", f"{name}[at[r]]")
    first, ids, weights = np.zeros(size + 1, np.int32), list[int](), list[float]()
    for at in range(size):
        first[at] = len(ids)
        for target, weight in flat.leaves.get(at, ()):
            ids.append(target)
            weights.append(weight)
    first[size] = len(ids)
    f, i = ctx.constant(first), ctx.constant(np.array(ids or [0], np.int32))
    w = ctx.constant(np.array(weights or [0], np.float64 if real == "double" else np.float32))
    put = step.format(f"q * {targets} + {i}[e]", f"{w}[e]")
    return f"for (int e = {f}[at[r]]; e < {f}[at[r] + 1]; e++) {put}"


def _packed(flat: Flat) -> np.ndarray:
    """The nodes as the kernel's structures."""
    if flat.value.dtype == np.float64:
        fields = [("value", np.float64), ("feature", np.uint32), ("child", np.int32)]
    else:
        fields = [("value", np.float32), ("feature", np.uint32), ("child", np.int32), ("none", np.int32)]
    made = np.zeros(len(flat.value), fields)
    made["value"], made["feature"], made["child"] = flat.value, flat.feature, flat.child
    return made.view(np.uint32)


def ensemble_code(
    node: Node, ctx: Context, ensemble: Ensemble, targets: int, how: str, finish: str, seen: str = ""
) -> str:
    """The whole operator; `finish` turns the sums z[0 .. targets) of row `i` into results."""
    ctx.include("plain_trees.h")
    x = needed(node, 0)
    real = "double" if x.dtype == "float64" else "float"
    flat = flatten(ensemble, np.float64 if real == "double" else np.float32)
    rows = x.shape[0] if len(x.shape) > 1 else 1
    features = x.shape[-1] if x.shape else 1
    source, copy = "x0", ""
    if types.compute(x.dtype) != real:
        source = ctx.scratch(rows * features, "float64" if real == "double" else "float32")
        load = types.load(x.dtype, "x0", "i")
        copy = f"{{ SPLIT({rows * features}); for (idx i = begin; i < end; i++) {source}[i] = ({real}){load}; }}\nBARRIER;\n"
    nodes, roots = ctx.constant(_packed(flat)), ctx.constant(flat.roots)
    levels = ctx.constant(np.array(flat.levels, np.int32))
    trees = len(flat.roots)
    start = {"MIN": "PM_INF", "MAX": "-PM_INF"}.get(how, "0")
    kind = "d" if real == "double" else "f"
    walk = f"pm_walk_{'lt' if flat.strict else 'le'}_{kind}"
    add = _added(ctx, flat, targets, real, how)
    acc = ctx.scratch(BLOCK * targets, "float64" if real == "double" else "float32", private=True)
    add = add.replace("acc[", f"{acc}[")
    final = f"for (idx q = 0; q < many; q++) {{ const idx i = first + q; {real} *z = {acc} + q * {targets}; {finish} }}"
    if rows >= LANES:
        return f"""{copy}{{ SPLIT({-(-rows // BLOCK)});
for (idx block = begin; block < end; block++) {{
const idx first = block * {BLOCK}, many = {rows} - first < {BLOCK} ? {rows} - first : {BLOCK};
const int missing = pm_missing_{kind}({source} + first * {features}, many * {features});
for (idx q = 0; q < many * {targets}; q++) {acc}[q] = {start};
for (idx t = 0; t < {trees}; t++)
for (idx g = 0; g < many; g += {LANES}) {{
pm_i32 row[{LANES}], at[{LANES}];
for (int r = 0; r < {LANES}; r++) {{ row[r] = (g + r < many ? g + r : many - 1) * {features}; at[r] = {roots}[t]; }}
{walk}({source} + first * {features}, row, at, {nodes}, {levels}[t], missing);
for (int r = 0; r < {LANES} && g + r < many; r++) {{ const idx q = g + r; {add} }}
}}
{final}
}} }}"""
    return f"""{copy}{{ SPLIT({rows});
for (idx first = begin; first < end; first++) {{
const idx many = 1, q = 0;
const int missing = pm_missing_{kind}({source} + first * {features}, {features});
for (idx k = 0; k < {targets}; k++) {acc}[k] = {start};
for (idx t = 0; t < {trees}; t += {LANES}) {{
pm_i32 row[{LANES}], at[{LANES}];
int deep = 0;
for (int r = 0; r < {LANES}; r++) {{
const idx u = t + r < {trees} ? t + r : {trees} - 1;
row[r] = 0; at[r] = {roots}[u]; deep = {levels}[u] > deep ? {levels}[u] : deep;
}}
{walk}({source} + first * {features}, row, at, {nodes}, deep, missing);
for (int r = 0; r < {LANES} && t + r < {trees}; r++) {{ {add} }}
}}
{final}
}} }}"""


def scored(ensemble: Ensemble, targets: int, how: str) -> tuple[Ensemble, int, list[str]]:
    """(the ensemble, sums a row, for each target the condition that some leaf of the row has a number for it).

    ONNX Runtime shows 0 for a target that no leaf of a row names, whatever its base value. Where only the row decides
    that, a second sum beside each target's is made of ones.
    """
    trees: dict[int, list[set[int]]] = {}
    for (tree, _), leaf in ensemble.leaves.items():
        trees.setdefault(tree, []).append({target for target, _ in leaf})
    each = [set.intersection(*leaves) for leaves in trees.values()] if ensemble.splits and ensemble.leaves else []
    named = {target for leaf in ensemble.leaves.values() for target, _ in leaf}
    always = named if not ensemble.splits else set[int]().union(*each)
    if named <= always:
        return ensemble, targets, ["1" if k in named else "0" for k in range(targets)]
    leaves = {key: [*leaf, *((targets + k, 1.0) for k, _ in leaf)] for key, leaf in ensemble.leaves.items()}
    test = {"MIN": "< PM_INF", "MAX": "> -PM_INF"}.get(how, "> 0")
    conditions = [f"(z[{targets + k}] {test})" for k in range(targets)]
    return Ensemble(ensemble.splits, leaves, ensemble.roots), 2 * targets, conditions


def _tensor(node: Node, name: str) -> np.ndarray:
    """Numbers that are an attribute of floats or a tensor."""
    found = node.attrs.get(f"{name}_as_tensor")
    return np.asarray(found if found is not None and np.size(found) else node.attrs.get(name, ()), np.float64)


def _regression(
    node: Node, ctx: Context, ensemble: Ensemble, targets: int, how: str, base: np.ndarray, post: str
) -> str:
    """Sums with base values; a single target knows no post transform but PROBIT, as in ONNX Runtime."""
    y, trees = node.outputs[0], len(ensemble.roots)
    if targets == 1:
        post = post if post == "PROBIT" else "NONE"
        sums, has = targets, ["1"]
    else:
        ensemble, sums, has = scored(ensemble, targets, how)
    finish = f"for (int k = 0; k < {targets}; k++) z[k] /= {trees}; " if how == "AVERAGE" else ""
    if base.size and base.size not in (1, targets):
        raise ctx.refuse(node, f"it has {base.size} base values")
    shifts = base.tolist() if base.size == targets else base.tolist() * targets
    finish += " ".join(f"z[{k}] += {types.literal(v, 'float64')};" for k, v in enumerate(shifts) if v)
    finish += " ".join(f" if (!{test}) z[{k}] = 0;" for k, test in enumerate(has) if test != "1")
    put = types.store(y.dtype, "y0", f"i * {targets} + k", "p[k]" if post != "NONE" else "z[k]")
    if post != "NONE":
        finish += (
            f" float p[{targets}]; for (int k = 0; k < {targets}; k++) p[k] = (float)z[k]; {posted(post, targets)}"
        )
    finish += f" for (int k = 0; k < {targets}; k++) {put}"
    return ensemble_code(node, ctx, ensemble, sums, how, finish)


@operator("TreeEnsembleRegressor", domain=ML)
def regressor(node: Node, ctx: Context) -> str:
    ensemble = classic(node.attrs, "target")
    targets = int(node.attrs.get("n_targets", 1))
    how = text(node, "aggregate_function", "SUM")
    return _regression(
        node, ctx, ensemble, targets, how, _tensor(node, "base_values"), text(node, "post_transform", "NONE")
    )


@operator("TreeEnsemble", domain=ML)
def tree_ensemble(node: Node, ctx: Context) -> str:
    targets = int(node.attrs.get("n_targets", 1))
    how, post = (
        AGGREGATES[int(node.attrs.get("aggregate_function", 1))],
        POSTS[int(node.attrs.get("post_transform", 0))],
    )
    return _regression(node, ctx, modern(node.attrs), targets, how, np.zeros(0), post)


def labels_of(node: Node, ctx: Context, name: str = "classlabels_int64s") -> list[int]:
    """The integer labels of a classifier; text labels are no numbers."""
    found: Any = node.attrs.get(name)
    if found is None or not len(found):
        raise ctx.refuse(node, "its class labels are text")
    return [int(v) for v in found]


@operator("TreeEnsembleClassifier", domain=ML)
def classifier(node: Node, ctx: Context) -> str:
    """Labels and scores; one class and two have rules of their own in ONNX Runtime."""
    ensemble = classic(node.attrs, "class")
    labels, base, post = labels_of(node, ctx), _tensor(node, "base_values"), text(node, "post_transform", "NONE")
    count, leaves = len(labels), ensemble.leaves.values()
    if base.size not in (0, count) and (count != 2 or base.size != 1):
        raise ctx.refuse(node, f"it has {base.size} base values for {count} classes")
    positive = all(weight >= 0 for leaf in leaves for _, weight in leaf)
    single = len({target for leaf in leaves for target, _ in leaf}) == 1
    ensemble, sums, has = scored(ensemble, count, "SUM")
    table = ctx.constant(np.array(labels, np.int64))
    if count == 1:
        finish = one_class(base, post)
    elif count == 2:
        finish = two_classes(base, post, has, table, positive, single)
    else:
        finish = many_classes(base, post, has, table)
    return ensemble_code(node, ctx, ensemble, sums, "SUM", finish)
