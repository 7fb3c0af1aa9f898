"""A forest's votes are added undivided, so that a tie is a tie in float32 too and falls as scikit-learn lets it fall.

skl2onnx divides every leaf by the number of trees; half of a hundred times 0.01 is then not 0.5, and a tied vote gets
the wrong label. Here one TreeEnsembleRegressor adds the leaves' own fractions, and the sum is divided afterwards.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

FORESTS = ("RandomForestClassifier", "ExtraTreesClassifier")


def undivided(graph: onnx.GraphProto, forest: Any) -> bool:
    """Rewrite the graph's one TreeEnsembleClassifier; False where it is not that forest's, and nothing is changed."""
    if type(forest).__name__ not in FORESTS or forest.n_outputs_ != 1:
        return False
    found = [i for i, n in enumerate(graph.node) if n.op_type == "TreeEnsembleClassifier"]
    if len(found) != 1:
        return False
    node = graph.node[found[0]]
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    binary = len(forest.classes_) == 2
    weights = _fractions(given, forest, binary)
    if weights is None:
        return False
    targets = 1 if binary else len(forest.classes_)
    kept = {k: v for k, v in given.items() if k.startswith("nodes_")}
    trees = helper.make_node(
        "TreeEnsembleRegressor", [node.input[0]], ["votes"], name="votes", domain="ai.onnx.ml", **kept, n_targets=targets,
        target_treeids=given["class_treeids"], target_nodeids=given["class_nodeids"], target_ids=given["class_ids"],
        target_weights=weights, aggregate_function="SUM", post_transform="NONE",
    )  # fmt: skip
    nodes = [trees, *_answers(graph, list(node.output), forest, binary)]
    del graph.node[found[0]]
    for offset, made in enumerate(nodes):
        graph.node.insert(found[0] + offset, made)
    return True


def _fractions(given: dict[str, Any], forest: Any, binary: bool) -> list[float] | None:
    """Each leaf entry's fraction of its class, out of the forest itself; None where the graph says something else."""
    if binary and set(given["class_ids"]) != {0}:
        return None
    entries = zip(given["class_treeids"], given["class_nodeids"], given["class_ids"], given["class_weights"])
    values = [tree.tree_.value[:, 0, :] for tree in forest.estimators_]
    fractions: list[float] = []
    for tree, leaf, target, weight in entries:
        row = values[tree][leaf]
        fraction = float(np.float32(row[1 if binary else target] / row.sum()))
        if abs(fraction / len(values) - weight) > 1e-6:
            return None
        fractions.append(fraction)
    return fractions


def _answers(graph: onnx.GraphProto, outputs: list[str], forest: Any, binary: bool) -> list[onnx.NodeProto]:
    """Label and probabilities out of the votes, under the names the classifier had."""
    label, probabilities = outputs
    count, classes = len(forest.estimators_), forest.classes_
    classes = classes.astype(object) if classes.dtype.kind in "UO" else classes.astype(np.int64)

    def constant(name: str, value: np.ndarray) -> str:
        graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    trees = constant("votes_trees", np.array(count, np.float32))
    names = constant("votes_classes", classes)
    if not binary:
        return [
            helper.make_node("Div", ["votes", trees], [probabilities], name="votes_share"),
            helper.make_node("ArgMax", ["votes"], ["votes_best"], name="votes_best", axis=1, keepdims=0),
            helper.make_node("Gather", [names, "votes_best"], [label], name="votes_label", axis=0),
        ]
    half = constant("votes_half", np.array(count / 2, np.float32))
    flat = constant("votes_flat", np.array([-1], np.int64))
    return [
        helper.make_node("Sub", [trees, "votes"], ["votes_against"], name="votes_against"),
        helper.make_node("Concat", ["votes_against", "votes"], ["votes_both"], name="votes_both", axis=1),
        helper.make_node("Div", ["votes_both", trees], [probabilities], name="votes_share"),
        helper.make_node("Greater", ["votes", half], ["votes_won"], name="votes_won"),
        helper.make_node("Cast", ["votes_won"], ["votes_index"], name="votes_index", to=onnx.TensorProto.INT64),
        helper.make_node("Reshape", ["votes_index", flat], ["votes_best"], name="votes_best"),
        helper.make_node("Gather", [names, "votes_best"], [label], name="votes_label", axis=0),
    ]
