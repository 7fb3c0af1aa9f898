"""Nodes that stand for other nodes: branches, loops and scans whose course is known, functions, EXPANSIONS.

`lowered` yields ordinary nodes one by one; what it yields next may depend on constants that the importer finds in
between (the condition of a loop), so it must be consumed lazily. Names made here begin with the node's name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from neo_cli.backends.native import operators
from neo_cli.backends.native.ir import Value
from neo_cli.backends.native.ops import sequences
from neo_cli.backends.native.ops.expansions import EXPANSIONS, Writer
from neo_cli.base.errors import OperatorNotImplemented
from neo_cli.model import proto

Find = Callable[[str], Value | None]
LIMIT = 4096  # iterations of a loop, each of which becomes code
CONTROL = ("If", "Loop", "Scan")
INDEXED = {  # what reads or writes where its inputs say
    "ArrayFeatureExtractor", "EmbedLayerNormalization", "GRU", "Gather", "GatherBlockQuantized", "GatherElements", "GatherND",
    "GroupQueryAttention", "LSTM", "MaxRoiPool", "MaxUnpool", "OneHot", "QEmbedLayerNormalization", "RNN", "ReverseSequence",
    "RoiAlign", "RotaryEmbedding", "Scatter", "ScatterElements", "ScatterND", "TensorScatter",
}  # fmt: skip
_numbers = count()


def of_sequences(
    node: onnx.NodeProto, find: Find, opsets: Mapping[str, int], known: sequences.Sequences
) -> Iterator[onnx.NodeProto] | None:
    """The nodes for an operator on sequences, of which `known` has those made so far; None for any other operator."""
    if node.op_type == "SequenceMap":
        return _map(node, known)
    if node.op_type in (*sequences.RULES, "Optional") or any(name in known for name in node.input):
        found = sequences.lowered(Writer(node, find, opsets.get("", 1), _scope(node)), known)
        return None if found is None else iter(found)
    return None


def lowered(node: onnx.NodeProto, find: Find, opsets: Mapping[str, int]) -> Iterator[onnx.NodeProto] | None:
    """The nodes `node` stands for; None when it is an operation of its own."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    if not domain and node.op_type in CONTROL:
        opset = opsets.get("", 1)
        rule = {"If": _if, "Loop": _loop, "Scan": _scan if opset >= 9 else _scan_of_batch}[node.op_type]
        return rule(node, find, opset)
    if (domain, node.op_type) in operators.load():
        return None
    written = EXPANSIONS.get((domain, node.op_type))
    if written is not None:
        writer = Writer(node, find, opsets.get("", 1), _scope(node))
        written(writer)
        return iter(writer.written)
    return _function(node, find, opsets)


def _refuse(node: onnx.NodeProto, why: str) -> OperatorNotImplemented:
    return OperatorNotImplemented(f"The back end native does not do {node.op_type} so: {why} (node '{node.name}').")


def _attribute(node: onnx.NodeProto, name: str) -> onnx.AttributeProto | None:
    return next((a for a in node.attribute if a.name == name), None)


def _scope(node: onnx.NodeProto) -> str:
    return f"{node.name or node.op_type}.{next(_numbers)}."


def _inlined(graph: onnx.GraphProto, names: dict[str, str], scope: str) -> Iterator[onnx.NodeProto]:
    """The nodes of a subgraph with its own names made unique; `names` maps its inputs, and its results afterwards."""
    for tensor in graph.initializer:
        names[tensor.name] = scope + tensor.name
        yield _constant(names[tensor.name], tensor)
    for index, inner in enumerate(graph.node):
        yield _renamed(inner, names, scope, index)


def _constant(name: str, tensor: onnx.TensorProto | np.ndarray) -> onnx.NodeProto:
    value = tensor if isinstance(tensor, onnx.TensorProto) else numpy_helper.from_array(tensor)
    return helper.make_node("Constant", [], [name], name=name, value=value)


def _renamed(inner: onnx.NodeProto, names: dict[str, str], scope: str, index: int) -> onnx.NodeProto:
    made = onnx.NodeProto()
    made.CopyFrom(inner)
    made.name = f"{scope}{inner.name or inner.op_type}.{index}"
    for position, name in enumerate(inner.input):
        made.input[position] = names.get(name, name)
    for attribute in made.attribute:
        if attribute.HasField("g"):
            _rebind(attribute.g, names)
    for position, name in enumerate(inner.output):
        if name:
            made.output[position] = names[name] = scope + name
    return made


def _rebind(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Names of the outer scope inside a nested graph."""
    own = {v.name for v in (*graph.input, *graph.initializer)} | {o for n in graph.node for o in n.output}
    outer = {k: v for k, v in names.items() if k not in own}
    for node in graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = outer.get(name, name)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rebind(attribute.g, outer)
    for value in graph.output:
        value.name = outer.get(value.name, value.name)


def _identity(source: str, target: str) -> onnx.NodeProto:
    return helper.make_node("Identity", [source], [target], name=f"{target}.identity")


def _if(node: onnx.NodeProto, find: Find, opset: int) -> Iterator[onnx.NodeProto]:
    condition = find(node.input[0])
    if condition is None or condition.const is None:
        yield from _both(node, find)
        return
    branch = _attribute(node, "then_branch" if bool(condition.const.reshape(-1)[0]) else "else_branch")
    assert branch is not None
    names: dict[str, str] = {}
    yield from _inlined(branch.g, names, _scope(node))
    for made, target in zip(branch.g.output, node.output):
        if target:
            yield _identity(names.get(made.name, made.name), target)


def _both(node: onnx.NodeProto, find: Find) -> Iterator[onnx.NodeProto]:
    """Both branches are computed and the condition takes the results of one: no operator of ONNX has other effects."""
    sides = []
    for name in ("then_branch", "else_branch"):
        branch = _attribute(node, name)
        assert branch is not None
        kinds = {inner.op_type for inner in proto.nodes(branch.g)} & INDEXED
        if kinds:
            raise _refuse(
                node, f"its condition is known only at run time, and {min(kinds)} may have no such index then"
            )
        names: dict[str, str] = {}
        yield from _inlined(branch.g, names, _scope(node))
        sides.append([names.get(made.name, made.name) for made in branch.g.output])
    scope = _scope(node)
    yield _constant(f"{scope}shape", np.zeros(0, np.int64))
    chosen = f"{scope}condition"
    yield helper.make_node("Reshape", [node.input[0], f"{scope}shape"], [chosen], name=chosen)
    for then, other, target in zip(*sides, node.output, strict=True):
        one, two = find(then), find(other)
        if one is None or two is None or one.shape != two.shape:
            raise _refuse(node, "its condition is known only at run time, and its branches make different shapes")
        if target:
            yield helper.make_node("Where", [chosen, then, other], [target], name=target)


def _number(find: Find, name: str) -> int | None:
    value = find(name) if name else None
    return None if value is None or value.const is None else int(value.const.reshape(-1)[0])


def _loop(node: onnx.NodeProto, find: Find, opset: int) -> Iterator[onnx.NodeProto]:
    body = next(a.g for a in node.attribute if a.name == "body")
    trips = _number(find, node.input[0]) if node.input[0] else LIMIT + 1
    go = _number(find, node.input[1]) if len(node.input) > 1 and node.input[1] else 1
    if trips is None or go is None:
        raise _refuse(node, "its trip count or condition is known only at run time")
    carried = list(node.input[2:])
    scanned: list[list[str]] = [[] for _ in node.output[len(carried) :]]
    scope = _scope(node)
    turn = 0
    while turn < trips and go:
        if turn >= LIMIT:
            raise _refuse(node, f"it runs more than {LIMIT} times")
        inside = f"{scope}{turn}."
        yield _constant(f"{inside}turn", np.array(turn, np.int64))
        yield _constant(f"{inside}on", np.array(True))
        names = dict(zip([v.name for v in body.input], [f"{inside}turn", f"{inside}on", *carried]))
        yield from _inlined(body, names, inside)
        results = [names.get(v.name, v.name) for v in body.output]
        go = _number(find, results[0])
        if go is None:
            raise _refuse(node, "its condition is known only at run time")
        carried = results[1 : 1 + len(carried)]
        for parts, name in zip(scanned, results[1 + len(carried) :]):
            parts.append(name)
        turn += 1
    yield from _collected(node, opset, carried, scanned, [0] * len(scanned))


def _collected(
    node: onnx.NodeProto, opset: int, carried: list[str], scanned: list[list[str]], axes: list[int]
) -> Iterator[onnx.NodeProto]:
    """The outputs of a loop: the last carried values, and what the turns made, stacked."""
    for name, target in zip(carried, node.output):
        if target:
            yield _identity(name, target)
    for parts, target, axis in zip(scanned, node.output[len(carried) :], axes):
        if not target:
            continue
        if not parts:
            raise _refuse(node, "it stacks the results of no turn at all")
        yield _constant(f"{target}.axis", np.array([axis], np.int64))
        rows, named = [], [f"{target}.axis"] if opset >= 13 else []
        old: dict[str, Any] = {} if named else {"axes": [axis]}
        for turn, name in enumerate(parts):
            rows.append(f"{target}.{turn}")
            yield helper.make_node("Unsqueeze", [name, *named], [rows[-1]], name=rows[-1], **old)
        yield helper.make_node("Concat", rows, [target], name=f"{target}.stack", axis=axis)


def _scan(node: onnx.NodeProto, find: Find, opset: int) -> Iterator[onnx.NodeProto]:
    body = next(a.g for a in node.attribute if a.name == "body")
    many = next(a.i for a in node.attribute if a.name == "num_scan_inputs")

    def listed(name: str, size: int) -> list[int]:
        found = _attribute(node, name)
        return list(found.ints) if found is not None else [0] * size

    states = len(node.input) - many
    carried, sources = list(node.input[:states]), list(node.input[states:])
    outputs = len(node.output) - states
    axes, turned = listed("scan_input_axes", many), listed("scan_input_directions", many)
    out_axes, out_turned = listed("scan_output_axes", outputs), listed("scan_output_directions", outputs)
    values = [find(name) for name in sources]
    if not values or values[0] is None:
        raise _refuse(node, "it scans nothing")
    steps = values[0].shape[axes[0]]
    scanned: list[list[str]] = [[] for _ in range(outputs)]
    scope = _scope(node)
    for turn in range(steps):
        inside = f"{scope}{turn}."
        rows: list[str] = []
        for source, axis, back in zip(sources, axes, turned):
            place = f"{inside}{len(rows)}.at"
            yield _constant(place, np.array(steps - 1 - turn if back else turn, np.int64))
            rows.append(f"{inside}{len(rows)}.row")
            yield helper.make_node("Gather", [source, place], [rows[-1]], name=rows[-1], axis=axis)
        names = dict(zip([v.name for v in body.input], [*carried, *rows]))
        yield from _inlined(body, names, inside)
        results = [names.get(v.name, v.name) for v in body.output]
        carried = results[:states]
        for parts, name in zip(scanned, results[states:]):
            parts.append(name)
    ordered = [parts[::-1] if back else parts for parts, back in zip(scanned, out_turned)]
    yield from _collected(node, opset, carried, ordered, out_axes)


def _scan_of_batch(node: onnx.NodeProto, find: Find, opset: int) -> Iterator[onnx.NodeProto]:
    """Opset 8's form: a scan for each entry of a batch, after an input with their lengths."""
    first, names = find(node.input[1]), list(node.input[1:])
    lengths = find(node.input[0]) if node.input[0] else None
    many = next(a.i for a in node.attribute if a.name == "num_scan_inputs")
    longest = find(names[-many])
    if first is None or longest is None:
        raise _refuse(node, "it scans nothing")
    if lengths is not None and (lengths.const is None or (lengths.const != longest.shape[1]).any()):
        raise _refuse(node, "its sequences have lengths of their own")
    scope = _scope(node)
    single = onnx.NodeProto()
    single.CopyFrom(node)
    for attribute in single.attribute:
        if attribute.name == "directions":
            attribute.name = "scan_input_directions"
    parts: list[list[str]] = [[] for _ in node.output]
    for entry in range(first.shape[0]):
        place = f"{scope}{entry}"
        yield _constant(place, np.array(entry, np.int64))
        single.name, single.input[:] = place, [f"{place}.{k}" for k in range(len(names))]
        for name, row in zip(names, single.input):
            yield helper.make_node("Gather", [name, place], [row], name=row, axis=0)
        single.output[:] = [f"{place}.made{k}" if name else "" for k, name in enumerate(node.output)]
        yield from _scan(single, find, opset)
        for found, made in zip(parts, single.output):
            found.append(made)
    yield from _collected(node, opset, [], parts, [0] * len(parts))


def _map(node: onnx.NodeProto, known: sequences.Sequences) -> Iterator[onnx.NodeProto]:
    """The body for each element of a sequence; other sequences go along, tensors stay."""
    body = next(a.g for a in node.attribute if a.name == "body")
    scope, made = _scope(node), [list[str]() for _ in node.output]
    for turn in range(len(known.get(node.input[0], ()))):
        given = [known[name][turn] if name in known else name for name in node.input]
        names = dict(zip([v.name for v in body.input], given))
        yield from _inlined(body, names, f"{scope}{turn}.")
        for found, value in zip(made, body.output):
            found.append(names.get(value.name, value.name))
    for name, found in zip(node.output, made):
        known[name] = tuple(found)


def _function(node: onnx.NodeProto, find: Find, opsets: Mapping[str, int]) -> Iterator[onnx.NodeProto] | None:
    """The body ONNX gives for an operator, with this node's names and attributes in it."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    try:
        schema = onnx.defs.get_schema(node.op_type, opsets.get(domain, 1), domain)
    except onnx.defs.SchemaError:
        return None
    body = _body(schema, node, find, opsets.get("", 1))
    return None if body is None else _instance(node, schema, body)


def _body(schema: Any, node: onnx.NodeProto, find: Find, opset: int) -> onnx.FunctionProto | None:
    if schema.has_context_dependent_function:
        kinds = []
        for name in node.input:
            value = find(name) if name else None
            kind = onnx.TypeProto()
            if value is not None:
                kind = helper.make_tensor_type_proto(
                    helper.np_dtype_to_tensor_dtype(np.dtype(value.dtype)), value.shape
                )
            kinds.append(kind.SerializeToString())
        versions = [v for v in schema.context_dependent_function_opset_versions if v <= opset]
        if versions:
            raw = schema.get_context_dependent_function_with_opset_version(
                max(versions), node.SerializeToString(), kinds
            )
            return onnx.FunctionProto.FromString(raw) if raw else None
    versions = [v for v in schema.function_opset_versions if v <= opset]
    if schema.has_function and versions:
        raw = schema.get_function_with_opset_version(max(versions))
        return onnx.FunctionProto.FromString(raw) if isinstance(raw, bytes) else raw
    return None


def _instance(node: onnx.NodeProto, schema: Any, body: onnx.FunctionProto) -> Iterator[onnx.NodeProto]:
    scope = _scope(node)
    names = {formal: actual for formal, actual in zip(body.input, node.input)}
    names |= {formal: "" for formal in body.input[len(node.input) :]}
    given = {a.name: a for a in node.attribute}
    for index, inner in enumerate(body.node):
        made = _renamed(inner, names, scope, index)
        _bind_attributes(made, given, schema)
        yield made
    for formal, target in zip(body.output, node.output):
        if target and formal in names:
            yield _identity(names[formal], target)


def _bind_attributes(made: onnx.NodeProto, given: Mapping[str, onnx.AttributeProto], schema: Any) -> None:
    """Attributes that refer to the function's own take the node's value, or the default, or vanish."""
    kept = []
    for attribute in made.attribute:
        if attribute.ref_attr_name:
            name, wanted = attribute.name, attribute.ref_attr_name
            value = given.get(wanted)
            if value is None and wanted in schema.attributes and schema.attributes[wanted].default_value.name:
                value = schema.attributes[wanted].default_value
            if value is None:
                continue
            attribute = onnx.AttributeProto()
            attribute.CopyFrom(value)
            attribute.name = name
        elif attribute.HasField("g"):
            for inner in attribute.g.node:
                _bind_attributes(inner, given, schema)
        kept.append(attribute)
    copies = [onnx.AttributeProto.FromString(a.SerializeToString()) for a in kept]
    del made.attribute[:]
    made.attribute.extend(copies)
