"""An XGBoost ensemble as ONNX: the trees stay one TreeEnsembleRegressor, so that a tree compiler can read them.

A split is BRANCH_LT on the float32 threshold, a missing value (NaN) goes where XGBoost sends it. A split on
categories becomes comparisons with the ends of their runs, as XGBoost cuts off fractions and sends what it does not
know to the left; these nodes share their two children, so such a "tree" is a directed graph without cycles.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from neo_cli.frontends.xgboost_model import Ensemble, Tree
from neo_cli.model.graph import GraphBuilder

INPUT, OUTPUT = "data", "output_0"


def build(ensemble: Ensemble) -> onnx.ModelProto:
    """The model with input `data` [batch, features] and output `output_0` [batch, columns]."""
    g = GraphBuilder("xgboost", ml=True)
    x = g.input(INPUT, ["batch", ensemble.features])
    if ensemble.linear is not None:
        missing = g.node("IsNaN", x)
        x = g.node("Where", missing, g.scalar(0), x)
        bias = ensemble.linear[-1].astype(np.float64) + ensemble.base
        y = g.node("Gemm", x, g.const(ensemble.linear[:-1]), g.const(bias.astype(np.float32), "bias"))
    elif ensemble.trees:
        y = g.node("TreeEnsembleRegressor", x, name="margin", domain="ai.onnx.ml", **attributes(ensemble))
        g.declare(y, ["batch", ensemble.targets])
    else:
        zero = g.const(np.zeros((ensemble.features, ensemble.targets), np.float32))
        y = g.node("Gemm", g.node("Mul", x, g.scalar(0)), zero, g.const(ensemble.base, "bias"))
    g.output(_linked(g, y, ensemble), OUTPUT)
    return g.make()


def _linked(g: GraphBuilder, y: str, ensemble: Ensemble) -> str:
    link = ensemble.link
    if link == "sigmoid":
        return g.node("Sigmoid", y)
    if link == "exp":
        return g.node("Exp", y)
    if link == "softmax":
        return g.node("Softmax", y, axis=1)
    if link == "hinge":
        return g.node("Cast", g.node("Greater", y, g.scalar(0)), to=1)
    if link == "argmax":
        return g.node("Cast", g.node("ArgMax", y, axis=1, keepdims=1), to=1)
    return y


def attributes(ensemble: Ensemble) -> dict[str, Any]:
    """The attributes of the TreeEnsembleRegressor."""
    a: dict[str, list] = {
        f"nodes_{k}": []
        for k in ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids", "missing_value_tracks_true")
    } | {f"target_{k}": [] for k in ("treeids", "nodeids", "ids", "weights")}  # fmt: skip
    for number, tree in enumerate(ensemble.trees):
        _Writer(a, number, tree).write()
    return {
        **a,
        "n_targets": ensemble.targets,
        "base_values": ensemble.base.tolist(),
        "aggregate_function": "SUM",
        "post_transform": "NONE",
    }


class _Writer:
    """Appends one tree; nodes keep their numbers, those that categories need come behind."""

    def __init__(self, a: dict[str, list], number: int, tree: Tree) -> None:
        self.a, self.number, self.tree, self.fresh = a, number, tree, len(tree.left)
        inner = tree.left >= 0
        self.children = set(tree.left[inner].tolist()) | set(tree.right[inner].tolist())

    def write(self) -> None:
        tree = self.tree
        for node in range(len(tree.left)):
            if node and node not in self.children:
                continue  # pruned nodes stay in XGBoost's arrays
            if tree.left[node] < 0:
                self._node(node, "LEAF", 0, 0.0, 0, 0, False)
                targets = range(tree.leaf.shape[1]) if tree.leaf.shape[1] > 1 else [tree.target]
                for column, target in enumerate(targets):
                    self.a["target_treeids"].append(self.number)
                    self.a["target_nodeids"].append(node)
                    self.a["target_ids"].append(target)
                    self.a["target_weights"].append(float(tree.leaf[node, column]))
            elif node in tree.categories:
                bounds = _bounds(tree.categories[node]) or [np.inf]
                self._runs(node, bounds, node)
            else:
                left, right = int(tree.left[node]), int(tree.right[node])
                self._node(
                    node, "BRANCH_LT", node, float(tree.threshold[node]), left, right, bool(tree.default_left[node])
                )

    def _node(self, at: int, mode: str, split: int, value: float, true: int, false: int, missing: bool) -> None:
        a = self.a
        a["nodes_treeids"].append(self.number)
        a["nodes_nodeids"].append(at)
        a["nodes_featureids"].append(int(self.tree.feature[split]) if mode != "LEAF" else 0)
        a["nodes_modes"].append(mode)
        a["nodes_values"].append(value)
        a["nodes_truenodeids"].append(true)
        a["nodes_falsenodeids"].append(false)
        a["nodes_missing_value_tracks_true"].append(int(missing))

    def _runs(self, at: int, bounds: list[float], split: int) -> None:
        """Asks for the run x lies in, one end after the other: even runs (outside the categories) go left, odd ones right.

        A missing value is led into run 0 or run 1, whichever goes where XGBoost sends missing values. Every exit but
        the last is a true branch: ONNX Runtime lets only those share a node.
        """
        sides = int(self.tree.left[split]), int(self.tree.right[split])
        for run, bound in enumerate(bounds):
            last = run == len(bounds) - 1
            following = sides[(run + 1) % 2] if last else self.fresh
            missing = bool(self.tree.default_left[split]) or run > 0
            self._node(at, "BRANCH_LT", split, bound, sides[run % 2], following, missing)
            if not last:
                at = self.fresh
                self.fresh += 1


def _bounds(categories: list[int]) -> list[float]:
    """Where the answer changes along the axis: [first, last + 1) of every run of categories."""
    bounds: list[float] = []
    for category in categories:
        if bounds and bounds[-1] == category:
            bounds[-1] = category + 1.0
        else:
            bounds += [float(category), category + 1.0]
    return bounds
