"""An XGBoost model as plain numbers: trees or linear weights, what is added to them, and the link on top."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neo_cli.base.errors import OperatorNotImplemented

# objective -> (what turns a margin into a prediction, what turned base_score into a margin)
OBJECTIVES = {
    "reg:squarederror": ("none", "none"), "reg:linear": ("none", "none"), "reg:squaredlogerror": ("none", "none"),
    "reg:pseudohubererror": ("none", "none"), "reg:absoluteerror": ("none", "none"), "reg:quantileerror": ("none", "none"),
    "reg:expectileerror": ("none", "none"), "reg:logistic": ("sigmoid", "logit"), "binary:logistic": ("sigmoid", "logit"),
    "binary:logitraw": ("none", "none"), "binary:hinge": ("hinge", "none"), "multi:softprob": ("softmax", "none"),
    "multi:softmax": ("argmax", "none"), "count:poisson": ("exp", "log"), "reg:gamma": ("exp", "log"), "reg:tweedie": ("exp", "log"),
    "survival:cox": ("exp", "log"), "survival:aft": ("exp", "log"), "rank:pairwise": ("none", "none"), "rank:ndcg": ("none", "none"),
    "rank:map": ("none", "none"),
}  # fmt: skip


class BrokenModel(ValueError):
    """The file is a model file, but its numbers contradict each other."""


@dataclass(frozen=True)
class Tree:
    """Nodes by index: a split sends x left when x < threshold; `left` < 0 marks a leaf with `leaf` [targets]."""

    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray  # float32
    default_left: np.ndarray
    leaf: np.ndarray  # [nodes, 1], or [nodes, targets] for vector leaves
    target: int = 0
    categories: dict[int, list[int]] = field(default_factory=dict)  # node -> categories that go right


@dataclass(frozen=True)
class Ensemble:
    features: int
    targets: int  # columns of the margin
    base: np.ndarray  # margin [targets], float32
    link: str
    trees: tuple[Tree, ...] = ()
    linear: np.ndarray | None = None  # [features + 1, targets], the bias last
    rounds: int = 0


def link_of(objective: str) -> tuple[str, str]:
    if objective not in OBJECTIVES:
        raise OperatorNotImplemented(f"The XGBoost objective {objective} is not supported.")
    return OBJECTIVES[objective]


def margin(base: np.ndarray, kind: str) -> np.ndarray:
    """base_score as a margin, in float32 as XGBoost computes it."""
    base = base.astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        if kind == "logit":
            return -np.log(np.float32(1) / base - np.float32(1))
        return np.log(base) if kind == "log" else base


def read_json(model: dict[str, Any]) -> Ensemble:
    """The ensemble of XGBoost's own JSON form (save_raw('json')), of version 1.0 to 3.2."""
    try:
        learner = model["learner"]
        parameters = learner["learner_model_param"]
        features = int(parameters["num_feature"])
        targets = max(1, int(parameters.get("num_class", 0)), int(parameters.get("num_target", 1)))
        link, unlink = link_of(learner["objective"]["name"])
        base = margin(_base(parameters["base_score"], targets), unlink)
        booster = learner["gradient_booster"]
        if booster["name"] == "gblinear":
            weights = np.array(booster["model"]["weights"], np.float32).reshape(features + 1, targets)
            # XGBoost 3 estimates a base for each column, and gblinear adds the first one to all
            return Ensemble(features, targets, np.repeat(base[:1], targets), link, linear=weights)
        inner = booster["gbtree"] if booster["name"] == "dart" else booster
        trees = inner["model"]["trees"]
        groups = [int(v) for v in inner["model"]["tree_info"]]
        dropped = [float(v) for v in booster["weight_drop"]] if booster["name"] == "dart" else [1.0] * len(trees)
        made = tuple(_tree(t, g, w, targets) for t, g, w in zip(trees, groups, dropped, strict=True))
        rounds = len(inner["model"].get("iteration_indptr", [])) - 1
        return Ensemble(features, targets, base, link, made, rounds=rounds)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise BrokenModel(f"its JSON form lacks or contradicts something: {error!r}") from error


def _base(text: str, targets: int) -> np.ndarray:
    """One number (XGBoost 1 and 2), or since 3 a list of one for each column."""
    values = np.array([float(v) for v in text.strip("[] ").split(",")], np.float32)
    return np.broadcast_to(values, (targets,)) if values.size == 1 else values.reshape(targets)


def _tree(tree: dict[str, Any], group: int, weight: float, targets: int) -> Tree:
    left, right = np.array(tree["left_children"], np.int64), np.array(tree["right_children"], np.int64)
    values = np.array(tree["split_conditions"], np.float32)
    count, width = len(left), int(tree["tree_param"].get("size_leaf_vector", 1) or 1)
    leaf = np.zeros((count, max(1, width)), np.float32)
    if width > 1:
        vectors = np.array(tree.get("leaf_weights") or tree["base_weights"], np.float32).reshape(-1, width)
        at = np.flatnonzero(left < 0)
        # since 3.1 a leaf's right child is its place among the leaves; before, every node had its vector
        leaf[at] = vectors[right[at]] if tree.get("leaf_weights") else vectors[at]
    else:
        leaf[:, 0] = np.where(left < 0, values, 0)
    categories: dict[int, list[int]] = {}
    for position, node in enumerate(tree.get("categories_nodes", [])):
        start, size = tree["categories_segments"][position], tree["categories_sizes"][position]
        categories[int(node)] = sorted(int(v) for v in tree["categories"][start : start + size])
    made = Tree(
        left, right, np.array(tree["split_indices"], np.int64), values, np.array(tree["default_left"]).astype(bool),
        leaf * np.float32(weight), group, categories,
    )  # fmt: skip
    _check(made, targets)
    return made


def _check(tree: Tree, targets: int) -> None:
    """Children lie inside and come once each: a walk from the root ends."""
    inner = np.flatnonzero(tree.left >= 0)
    children = np.concatenate([tree.left[inner], tree.right[inner]])
    if len(children) and (
        children.min() < 1 or children.max() >= len(tree.left) or len(set(children.tolist())) != len(children)
    ):
        raise BrokenModel("the children of a tree's nodes do not form a tree.")
    if not 0 <= tree.target < targets or tree.leaf.shape[1] not in (1, targets):
        raise BrokenModel("a tree adds to a column the model does not have.")


def read_treelite(model: dict[str, Any], features: int, base: np.ndarray | None = None) -> Ensemble:
    """The ensemble of treelite's JSON form, which is how the binary format of XGBoost before 2 is read."""
    kinds = {
        "sigmoid": "sigmoid", "identity": "none", "softmax": "softmax", "max_index": "argmax", "exponential": "exp", "hinge": "hinge",
        "identity_multiclass": "none",
    }  # fmt: skip
    try:
        targets = max([int(v) for v in model["num_class"]] + [int(model["num_target"])])
        post = model["postprocessor"]
        if post not in kinds:
            raise OperatorNotImplemented(f"The XGBoost link {post} is not supported.")
        scores = np.array(model["base_scores"], np.float32).reshape(-1)
        scores = np.broadcast_to(scores, (targets,)) if scores.size == 1 else scores
        columns = [max(0, int(c)) for c in model["class_id"]]
        trees = tuple(_treelite_tree(t, c, targets) for t, c in zip(model["trees"], columns, strict=True))
        return Ensemble(features, targets, scores, kinds[post], trees)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BrokenModel(f"its treelite form lacks or contradicts something: {error!r}") from error


def _treelite_tree(tree: dict[str, Any], target: int, targets: int) -> Tree:
    nodes = sorted(tree["nodes"], key=lambda n: n["node_id"])
    if [n["node_id"] for n in nodes] != list(range(len(nodes))):
        raise BrokenModel("a tree's nodes are not numbered one after the other.")
    count = len(nodes)
    made = Tree(
        np.full(count, -1), np.full(count, -1), np.zeros(count, np.int64), np.zeros(count, np.float32), np.zeros(count, bool),
        np.zeros((count, 1), np.float32), target,
    )  # fmt: skip
    for index, node in enumerate(nodes):
        if "leaf_value" in node:
            made.leaf[index, 0] = node["leaf_value"]
            continue
        if node.get("comparison_op") != "<":
            raise BrokenModel(f"a tree compares with {node.get('comparison_op')}.")
        made.left[index], made.right[index] = node["left_child"], node["right_child"]
        made.feature[index], made.threshold[index] = node["split_feature_id"], node["threshold"]
        made.default_left[index] = node["default_left"]
    _check(made, targets)
    return made
