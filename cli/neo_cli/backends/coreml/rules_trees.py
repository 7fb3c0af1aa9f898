"""Tree ensembles in MIL: all trees of all rows walk one level at a time, through tables of nodes.

A leaf is its own child, so every walk takes as many steps as the deepest tree. ONNX Runtime's sums are followed:
leaf weights are added over the trees, then base values; a classifier of two classes with one score has its own rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from neo_cli.backends.coreml.mil import Scope, attributes, operator, refusal

Node = onnx.NodeProto
_POSTS = ("NONE", "LOGISTIC", "SOFTMAX")
_SWAPPED = {"BRANCH_GTE": "BRANCH_LT", "BRANCH_GT": "BRANCH_LEQ"}  # x >= v is not x < v


@dataclass
class Tables:
    """A row for each node of all trees: the column and the value it compares, its children, the weights of a leaf."""

    feature: np.ndarray
    value: np.ndarray
    less: np.ndarray  # the child when x < value
    other: np.ndarray
    missing: np.ndarray  # the child when x is NaN
    weights: np.ndarray
    roots: np.ndarray
    depth: int


def tables(node: Node, kind: str, targets: int) -> Tables:
    """The ensemble of an ai.onnx.ml 1-3 operator; `kind` is "target" or "class"."""
    attrs = attributes(node)
    rows = {k: i for i, k in enumerate(zip(attrs["nodes_treeids"], attrs["nodes_nodeids"]))}
    count = len(rows)
    own = np.arange(count, dtype=np.int32)
    found = Tables(
        np.zeros(count, np.int32), np.zeros(count, np.float32), own.copy(), own.copy(), own.copy(),
        np.zeros((count, targets), np.float32), np.zeros(0, np.int32), 0,
    )  # fmt: skip
    values = np.asarray(_numbers(attrs, "nodes_values"), np.float32)
    tracks = attrs.get("nodes_missing_value_tracks_true") or [0] * count
    inner = np.ones(count, bool)
    for (tree, _), i in rows.items():
        mode = attrs["nodes_modes"][i].decode()
        if mode == "LEAF":
            continue
        yes, no = (rows[tree, attrs[f"nodes_{side}nodeids"][i]] for side in ("true", "false"))
        inner[[yes, no]] = False
        found.missing[i] = yes if tracks[i] else no
        if mode in _SWAPPED:
            mode, yes, no = _SWAPPED[mode], no, yes
        if mode not in ("BRANCH_LT", "BRANCH_LEQ"):
            raise refusal(node, f"trees that branch by {mode}")
        value = values[i]
        found.feature[i] = attrs["nodes_featureids"][i]
        found.value[i] = np.nextafter(value, np.float32(np.inf)) if mode == "BRANCH_LEQ" else value
        found.less[i], found.other[i] = yes, no
    keys = zip(
        attrs[f"{kind}_treeids"], attrs[f"{kind}_nodeids"], attrs[f"{kind}_ids"], _numbers(attrs, f"{kind}_weights")
    )
    for tree, leaf, target, weight in keys:
        found.weights[rows[tree, leaf], target] += weight
    found.roots = own[inner]
    found.depth = _depth(found)
    return found


def _numbers(attrs: dict[str, Any], name: str) -> Any:
    tensor = attrs.get(f"{name}_as_tensor")
    return attrs.get(name, ()) if tensor is None else numpy_helper.to_array(tensor)


def _depth(found: Tables) -> int:
    """The steps after which every walk stands on a leaf."""
    at, steps = found.roots, 0
    while True:
        below = np.unique(np.concatenate([found.less[at], found.other[at], found.missing[at]]))
        if np.array_equal(below, at):
            return steps
        at, steps = below, steps + 1


def _sums(scope: Scope, node: Node, found: Tables, base: np.ndarray, how: str = "SUM") -> Any:
    """[rows, targets] before the post transform."""
    mb, x = scope.mb, scope[node.input[0]]
    if len(x.shape) != 2:
        raise refusal(node, "its input must have two axes")
    at: Any = np.tile(found.roots, (int(x.shape[0]), 1))
    special = not np.array_equal(found.missing, found.other)
    unknown = mb.cast(x=mb.not_equal(x=x, y=x), dtype="int32") if special else None
    for _ in range(found.depth):
        column = mb.gather(x=found.feature, indices=at, axis=0)
        seen = mb.gather_along_axis(x=x, indices=column, axis=1)
        below = mb.less(x=seen, y=mb.gather(x=found.value, indices=at, axis=0))
        left, right = (mb.gather(x=table, indices=at, axis=0) for table in (found.less, found.other))
        step = mb.select(cond=below, a=left, b=right)
        if special:
            lost = mb.cast(x=mb.gather_along_axis(x=unknown, indices=column, axis=1), dtype="bool")
            step = mb.select(cond=lost, a=mb.gather(x=found.missing, indices=at, axis=0), b=step)
        at = step
    leaves = mb.gather(x=found.weights, indices=at, axis=0)
    total = getattr(mb, {"SUM": "reduce_sum", "AVERAGE": "reduce_mean", "MIN": "reduce_min", "MAX": "reduce_max"}[how])(
        x=leaves, axes=[1], keep_dims=False
    )
    return mb.add(x=total, y=base.astype(np.float32)) if base.size and base.any() else total


def _posted(scope: Scope, node: Node, scores: Any, post: str) -> Any:
    if post not in _POSTS:
        raise refusal(node, f"the post transform {post}")
    if post == "LOGISTIC":
        return scope.mb.sigmoid(x=scores)
    return scope.mb.softmax(x=scores, axis=1) if post == "SOFTMAX" else scores


def _text(node: Node, name: str, default: str) -> str:
    return str(attributes(node).get(name, default.encode()).decode())


@operator("TreeEnsembleRegressor")
def regressor(scope: Scope, node: Node) -> Any:
    targets = int(attributes(node).get("n_targets", 1))
    found = tables(node, "target", targets)
    base = np.asarray(_numbers(attributes(node), "base_values"), np.float32)
    scores = _sums(scope, node, found, base, _text(node, "aggregate_function", "SUM"))
    post = _text(node, "post_transform", "NONE")
    if targets == 1 and post != "PROBIT":
        return scores  # as ONNX Runtime, which transforms a single target by PROBIT only
    return _posted(scope, node, scores, post)


@operator("TreeEnsembleClassifier")
def classifier(scope: Scope, node: Node) -> Any:
    attrs, mb = attributes(node), scope.mb
    labels = np.asarray(attrs.get("classlabels_int64s", ()), np.int32)
    if not labels.size:
        raise refusal(node, "its class labels are text")
    base = np.asarray(_numbers(attrs, "base_values"), np.float32)
    post, used = _text(node, "post_transform", "NONE"), set(attrs["class_ids"])
    if labels.size == 2 and len(used) == 1:
        return _binary(scope, node, used.pop(), labels, base, post)
    scores = _sums(scope, node, tables(node, "class", labels.size), base)
    best = mb.reduce_argmax(x=scores, axis=1, keep_dims=False)
    return mb.gather(x=labels, indices=best, axis=0), _posted(scope, node, scores, post)


def _binary(scope: Scope, node: Node, one: int, labels: np.ndarray, base: np.ndarray, post: str) -> tuple[Any, Any]:
    """Two classes and one score, as ONNX Runtime does it: a score of the first class is the second's, with its complement."""
    mb = scope.mb
    if one == 1 and base.size:
        raise refusal(node, "base values beside scores of the second class alone")
    found = tables(node, "class", 2)
    found.weights = found.weights[:, one : one + 1]
    score = _sums(scope, node, found, base[-1:])
    positive = bool((found.weights >= 0).all())
    chosen = mb.cast(x=mb.greater(x=score, y=np.float32(0.5 if positive else 0)), dtype="int32")
    if one == 1:
        both = _posted(scope, node, mb.concat(values=[mb.mul(x=score, y=np.float32(0)), score], axis=1), post)
    elif positive:
        both = mb.concat(values=[mb.sub(x=np.float32(1), y=score), score], axis=1)
    else:
        both = _posted(scope, node, mb.concat(values=[mb.mul(x=score, y=np.float32(-1)), score], axis=1), post)
    return mb.squeeze(x=mb.gather(x=labels, indices=chosen, axis=0), axes=[1]), both
