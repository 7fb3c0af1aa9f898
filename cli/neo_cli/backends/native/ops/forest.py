"""Tree ensembles of every ai.onnx.ml version as one form: flat arrays in which a node's children lie side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER")
Key = tuple[int, int]  # (tree, node) of a branch; (-1, leaf) of a leaf in the newest form


@dataclass
class Split:
    """A branch as ONNX gives it."""

    feature: int
    mode: str
    value: float
    true: Key
    false: Key
    missing: bool
    members: tuple[float, ...] = ()


@dataclass
class Ensemble:
    """Branches and leaves by key; a leaf is a list of (target, weight)."""

    splits: dict[Key, Split] = field(default_factory=dict)
    leaves: dict[Key, list[tuple[int, float]]] = field(default_factory=dict)
    roots: list[Key] = field(default_factory=list)


def classic(attrs: Mapping[str, Any], kind: str) -> Ensemble:
    """TreeEnsembleRegressor (`kind` target) and TreeEnsembleClassifier (`kind` class)."""

    def numbers(name: str) -> np.ndarray:
        found = attrs.get(f"{name}_as_tensor")
        return np.asarray(found if found is not None and np.size(found) else attrs.get(name, ()))

    made = Ensemble()
    trees, nodes = attrs["nodes_treeids"], attrs["nodes_nodeids"]
    values = numbers("nodes_values").tolist()
    missing = attrs.get("nodes_missing_value_tracks_true") or [0] * len(nodes)
    pointed: set[Key] = set()
    keys = list(zip(map(int, trees), map(int, nodes)))
    rows = zip(
        keys,
        attrs["nodes_featureids"],
        attrs["nodes_modes"],
        values,
        attrs["nodes_truenodeids"],
        attrs["nodes_falsenodeids"],
        missing,
    )
    for key, feature, mode, value, true, false, tracks in rows:
        if mode == "LEAF":
            made.leaves[key] = []
        else:
            split = Split(int(feature), mode, value, (key[0], int(true)), (key[0], int(false)), bool(tracks))
            made.splits[key] = split
            pointed.update((split.true, split.false))
    weights = numbers(f"{kind}_weights").tolist()
    for tree, node, target, weight in zip(
        attrs[f"{kind}_treeids"], attrs[f"{kind}_nodeids"], attrs[f"{kind}_ids"], weights
    ):
        made.leaves.setdefault((int(tree), int(node)), []).append((int(target), weight))
    seen: set[int] = set()
    for key in keys:  # the first node of a tree that nobody points to is its root
        if key not in pointed and key[0] not in seen:
            seen.add(key[0])
            made.roots.append(key)
    return made


def modern(attrs: Mapping[str, Any]) -> Ensemble:
    """TreeEnsemble of ai.onnx.ml 5: branches and leaves are numbered apart."""
    made = Ensemble()
    splits = np.asarray(attrs["nodes_splits"]).tolist()
    modes = np.asarray(attrs["nodes_modes"]).tolist()
    missing = attrs.get("nodes_missing_value_tracks_true") or [0] * len(splits)
    sets = _sets(np.asarray(attrs.get("membership_values", ())).tolist())
    for at, (feature, mode, value) in enumerate(zip(attrs["nodes_featureids"], modes, splits)):
        true = (-1 if attrs["nodes_trueleafs"][at] else 0, int(attrs["nodes_truenodeids"][at]))
        false = (-1 if attrs["nodes_falseleafs"][at] else 0, int(attrs["nodes_falsenodeids"][at]))
        members = sets.pop(0) if mode == 6 and sets else ()
        made.splits[0, at] = Split(int(feature), MODES[mode], value, true, false, bool(missing[at]), members)
    weights = np.asarray(attrs["leaf_weights"]).tolist()
    for at, (target, weight) in enumerate(zip(attrs["leaf_targetids"], weights)):
        made.leaves[-1, at] = [(int(target), weight)]
    for root in attrs["tree_roots"]:
        split = made.splits[0, int(root)]
        alone = split.true == split.false and split.true[0] == -1
        made.roots.append(split.true if alone else (0, int(root)))
    return made


def _sets(values: list[float]) -> list[tuple[float, ...]]:
    """Sets of members, a NaN behind each."""
    found: list[tuple[float, ...]] = []
    current: list[float] = []
    for value in values:
        if value != value:
            found.append(tuple(sorted(current)))
            current = []
        else:
            current.append(value)
    return found


@dataclass
class Flat:
    """The arrays the kernel walks. `strict`: children are chosen by `<`, else by `<=`."""

    value: np.ndarray
    feature: np.ndarray
    child: np.ndarray
    roots: np.ndarray
    levels: list[int]
    leaves: dict[int, list[tuple[int, float]]]
    strict: bool


def flatten(ensemble: Ensemble, dtype: type[np.floating[Any]]) -> Flat:
    """Lay the nodes out; a mode that is no single comparison becomes several nodes."""
    modes = {s.mode for s in ensemble.splits.values()}
    strict = bool(modes) and modes <= {"BRANCH_LT", "BRANCH_GTE"}
    writer = _Writer(ensemble, dtype, strict)
    roots = [writer.root(key) for key in ensemble.roots]
    levels = [depth for _, depth in roots]
    return Flat(
        np.array(writer.value, dtype), np.array(writer.feature, np.uint32), np.array(writer.child, np.int32),
        np.array([at for at, _ in roots], np.int32), levels, writer.leaves, strict,
    )  # fmt: skip


class _Writer:
    """Appends nodes; a place holds a key (a node of the ensemble) or a Split that it stands for."""

    def __init__(self, ensemble: Ensemble, dtype: type[np.floating[Any]], strict: bool) -> None:
        self.ensemble, self.dtype, self.strict = ensemble, dtype, strict
        self.value: list[float] = []
        self.feature: list[int] = []
        self.child: list[int] = []
        self.leaves: dict[int, list[tuple[int, float]]] = {}
        self.placed: dict[Key, int] = {}
        self.shared = False

    def _new(self) -> int:
        self.value.append(0.0)
        self.feature.append(0)
        self.child.append(0)
        return len(self.value) - 1

    def root(self, key: Key) -> tuple[int, int]:
        """The place of a tree and how many steps its deepest leaf needs."""
        at, deepest, self.shared = self._new(), 0, False
        todo: list[tuple[int, Key | Split, int]] = [(at, key, 0)]
        while todo:
            place, what, depth = todo.pop()
            deepest = max(deepest, depth)
            todo += [(p, w, depth + 1) for p, w in self._put(place, what)]
        return at, (1 << 20 if self.shared else deepest)  # a walk ends by itself when nothing moves

    def _always(self, place: int, to: int) -> None:
        """A node that leads to `to` whatever comes: a leaf leads to itself."""
        self.value[place], self.feature[place], self.child[place] = np.inf, 1 << 31, to
        if self.strict:  # infinity itself is not below infinity: go to the second child, NaN too
            self.value[place], self.feature[place], self.child[place] = -np.inf, 0, to - 1

    def _put(self, place: int, what: Key | Split) -> list[tuple[int, Key | Split]]:
        if not isinstance(what, Split):
            if what in self.placed and what in self.ensemble.splits:
                self._always(place, self.placed[what])  # shared by two branches
                self.shared = True
                return []
            self.placed[what] = place
            if what not in self.ensemble.splits:
                self._always(place, place)
                self.leaves[place] = self.ensemble.leaves.get(what, [])
                return []
            what = self.ensemble.splits[what]
        value, left, right, nan_left = self._comparison(what)
        first = self._new()
        self._new()
        self.value[place], self.child[place] = value, first
        self.feature[place] = what.feature | (int(nan_left) << 31)
        return [(first, left), (first + 1, right)]

    def _comparison(self, s: Split) -> tuple[float, Key | Split, Key | Split, bool]:
        """(value, where to when x is below it, where else, whether NaN goes to the first)."""
        same, other = self._edges(s.value)
        if s.mode == "BRANCH_LEQ":
            return same, s.true, s.false, s.missing
        if s.mode == "BRANCH_LT":
            return other, s.true, s.false, s.missing
        if s.mode == "BRANCH_GT":
            return same, s.false, s.true, not s.missing
        if s.mode == "BRANCH_GTE":
            return other, s.false, s.true, not s.missing
        if s.mode == "BRANCH_MEMBER":
            if not s.members:
                return same, s.false, s.false, True
            rest: Key | Split = s.false
            if len(s.members) > 1:
                rest = Split(s.feature, s.mode, 0, s.true, s.false, s.missing, s.members[1:])
            return self._comparison(Split(s.feature, "BRANCH_EQ", s.members[0], s.true, rest, s.missing))  # type: ignore[arg-type]
        equal, unequal = (s.true, s.false) if s.mode == "BRANCH_EQ" else (s.false, s.true)
        # x <= value, and then not x < value; NaN takes the side of "unequal" unless it tracks the true branch
        nan_equal = s.missing and s.mode == "BRANCH_EQ"
        below = Split(s.feature, "BRANCH_LT", s.value, unequal, equal, False)
        return same, below, unequal, nan_equal

    def _edges(self, value: float) -> tuple[float, float]:
        """The numbers to compare with for "x <= value" and "x < value"; denormals count as zero where the code runs."""
        number = self.dtype(value)
        tiny = np.finfo(self.dtype).tiny
        if self.strict:
            up = np.nextafter(number, self.dtype(np.inf))
            return float(tiny if 0 < up < tiny or number == 0 else up), float(number)
        down = np.nextafter(number, self.dtype(-np.inf))
        return float(number), float(-tiny if -tiny < down < 0 or number == 0 else down)
