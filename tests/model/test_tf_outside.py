"""TensorFlow's operations are judged one by one, and a saver excuses only what nothing that is run leads to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest

from neo_cli.base.errors import InputError
from neo_cli.model.tf_outside import OUTSIDE, RESTORING, SAVING, refuse_frozen, refuse_saved

pytest.importorskip("tensorflow")

# What an operation that reaches outside takes: its arguments and attributes, or the words of its name.
TELLING = re.compile(
    r"file|path|_dir\b|dirname|url|address|host|port\b|protocol|database|driver|command|library|graph|serialized|script|python"
    r"|token\b|descriptor|summary|writer|reader|record|checkpoint|prefix|snapshot|spec\b|debug",
    re.IGNORECASE,
)
# Kinds that stay inside although they keep state or say such a word, each by what it does.
INSIDE = {
    "state of the graph's own": r"_?(Resource|Var|Variable|Assign|Read(Only)?Variable|TensorArray|Stack|Barrier|Conditional|Temporary|Destroy|Mutex|"
    r"Consume|Is(Resource|Variable)|DisableCopy|VariableShape|StubResource|MakeWeak|Sparse(Conditional|Accumulator)|TensorForest|BoostedTrees|IsBoosted).*",
    "queues and stages": r".*Queue.*|(Ordered)?Map(Stage|Unstage|Peek|Clear|Size|Incomplete|UnstageNoKey).*|(Un)?[Ss]tage.*",
    "tables in memory": r"(Mutable|Anonymous)?(Mutable)?(Dense)?Hash(Table|TableOfTensors)(V2)?|Anonymous.*|LookupTable.*|InitializeTable(V2|FromDataset)|.*TensorsMap",
    "random numbers": r".*(Random|Multinomial|Truncated|Uniform|StandardNormal|Sampler|SampleDistorted|Rng|Seed|NonDeterministic|Shuffle).*",
    "control flow and calls into the library": r"_?(If|While|Case|Stateful(Partitioned)?Call|StatefulPartitionedCall|For|Risc.*|SymbolicGradient|"
    r"BatchFunction|OneShotIterator|MapDefun|Batch|Unbatch.*)",
    "optimizers": r".*(Apply|Load|Retrieve)(All)?(TPUEmbedding|Ada|Center|Frequency|FTRL|Momentum|Proximal|RMSProp|Stochastic|Add|Power|Gradient).*|NegTrain",
    "accelerators that are not there": r"_?.*(TPU|Tpu|Xla|Infeed|Outfeed|DTensor|SparseCore|Nccl|Collective|CrossReplica|AllToAll|Cudnn|Mkl|Coo|Csr|Dedup|"
    r"Minibatch|SyncDevice|GlobalIterId|DistributedTPU|UpdateTaskId|StoreMini).*",
    "datasets and iterators in memory": r".*(Iterator|MemoryCache|ThreadPool|StatsAggregator(Handle|Summary)|Dummy).*|"
    r"(Experimental)?(Batch|Padded|Prefetch|Range|Tensor(Slice)?|SparseTensorSlice|List|Zip|Take|Skip|Repeat|Concatenate|Filter|Map|FlatMap|Interleave|"
    r"Parallel\w*|GroupBy\w*|Reduce|Scan|Shard|Window|Unique|Unbatch|Rebatch|Legacy\w*|Optimize|Model|Options|Assert\w*|Auto\w*|Bytes\w*|Choose\w*|"
    r"Compute\w*|Dense\w*|Directed\w*|Distributed\w*|Finalize|Ignore\w*|Index\w*|Inject\w*|Latency\w*|Max\w*|NonSerializable|Private\w*|Sampling|"
    r"Sleep|SlidingWindow|Split\w*|Weighted\w*|Identity|Data|Global\w*|Rewrite|Wrap\w*|Unwrap\w*|Get\w*|Dataset(To|Card|Finger)\w*)\w*Dataset\w*|Dataset(ToGraph|ToGraphV2|ToSingleElement|Cardinality|Fingerprint)",
    "texts and numbers made of their inputs": r"(Static)?Regex\w*|Sharded\w+|String\w*|Unicode\w*|Decode(?!ProtoV2)\w*|Encode(?!Proto\b)\w*|Parse\w*|"
    r"Serialize\w*|Deserialize(?!Iterator)\w*|(Audio|Image|Tensor|Histogram|Scalar|Merge)Summary\w*|Print|Assert|CheckNumerics\w*|.*ToNumber|Timestamp|Proto\w*",
    "readers without a source": r"Reader\w+|IdentityReader(V2)?",
    "plumbing of the executor": r"_.*|Abort|NoOp|DeviceIndex|DeepCopy|Empty|EnsureShape|GuaranteeConst|Get(Session|Element)\w*|DeleteSessionTensor|Placeholder\w*|"
    r"GraphDefVersion|RequiresOlderGraphVersion|HostConst|FakeQueue|Fact|IsTensorFloat32Enabled|SleepOp|SleepIdentityOp|TestAttr|ResourceUsingOp|"
    r"\w*(Attr|Sent|Outputs?|Input)|DevicePlacementOp|DtypeWithDefaultOp|Debug(Gradient\w*|NumericSummaryV2)|DummyIterationCounter|RefOut\w*|Old\w*|Polymorphic\w*|StatelessRandomGetAlg|Skip\w+",
    "numbers": r"Snapshot|CTC\w+|Ragged\w+|Sparse\w+|Quantize\w*|Histogram\w*|Bincount|Search\w*|Lower\w*|Upper\w*|Cum\w*|Prefix\w*|Compare\w*|Extract\w*|Fused\w*",
}  # fmt: skip


def registered() -> Iterable[Any]:
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    found = op_def_pb2.OpList()
    found.ParseFromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    return list(found.op)


def test_every_operation_that_might_reach_outside_is_judged() -> None:
    operations = registered()
    assert len(operations) > 1000
    inside = re.compile("|".join(f"(?:{kind})" for kind in INSIDE.values()))
    open_ = set()
    for op in operations:
        said = " ".join([op.name, *(a.name for a in op.input_arg), *(a.name for a in op.attr)])
        if not (op.is_stateful or TELLING.search(said)) or op.name in OUTSIDE | SAVING | RESTORING:
            continue
        if not inside.fullmatch(op.name):
            open_.add(op.name)
    assert open_ == set(), f"neither refused nor known to stay inside: {sorted(open_)}"


def test_no_kind_that_stays_inside_takes_a_path() -> None:
    """The kinds above go by names; what takes a file's name must not hide among them."""
    harmless = {"ShardedFilename", "ShardedFilespec", "TensorSliceDataset"}  # texts, and whether a slice is a name
    inside = re.compile("|".join(f"(?:{kind})" for kind in INSIDE.values()))
    takes = {
        op.name
        for op in registered()
        if inside.fullmatch(op.name) and op.name not in OUTSIDE | SAVING | RESTORING
        for a in (*op.input_arg, *op.attr)
        if re.search(r"file|(^|_)path$|directory|(^|_)dir$|debug_urls|address", a.name)
    }
    assert takes <= harmless | {name for name in takes if re.search("TPU|Tpu", name)}, takes


def graph(nodes: dict[str, Any], functions: dict[str, list[Any]] | None = None) -> Any:
    """A GraphDef: name -> operation, or (operation, inputs), or (operation, inputs, the function it calls)."""
    from tensorflow.core.framework import graph_pb2

    made = graph_pb2.GraphDef()
    for name, what in nodes.items():
        _fill(made.node.add(), name, what)
    for name, body in (functions or {}).items():
        function = made.library.function.add()
        function.signature.name = name
        for number, what in enumerate(body):
            _fill(function.node_def.add(), f"n{number}", what)
    return made


def _fill(node: Any, name: str, what: Any) -> None:
    op, inputs, call = (what if isinstance(what, tuple) else (what,)) + ((), None)[
        len(what if isinstance(what, tuple) else (what,)) - 1 :
    ]
    node.name, node.op = name, op
    node.input.extend(inputs)
    if isinstance(call, list):
        node.attr["branches"].list.func.add().name = call[0]
    elif call:
        node.attr["f"].func.name = call


def meta(
    made: Any,
    *,
    outputs: Iterable[str] = ("serve:0",),
    restore: str = "",
    objects: Iterable[str] = (),
    main: Iterable[str] = (),
) -> Any:
    from tensorflow.core.protobuf import meta_graph_pb2

    found = meta_graph_pb2.MetaGraphDef()
    found.graph_def.CopyFrom(made)
    for number, name in enumerate(outputs):
        found.signature_def["serving_default"].outputs[str(number)].name = name
    found.saver_def.restore_op_name = restore
    found.object_graph_def.nodes.add().function.concrete_functions.extend(objects)
    if main:
        found.collection_def["saved_model_main_op"].node_list.value.extend(main)
    return found


SAVER = {"__inference__traced_save_1": ["SaveV2"], "__inference__traced_restore_2": ["RestoreV2"], "serving": ["Relu"]}
PLAIN = {"serve": ("StatefulPartitionedCall", (), "serving"), "save": ("StatefulPartitionedCall", (), "__inference__traced_save_1"),
         "restore": ("StatefulPartitionedCall", ("serve:0",), "__inference__traced_restore_2")}  # fmt: skip


def test_a_models_own_saver_is_no_reason() -> None:
    refuse_saved(meta(graph(PLAIN, SAVER), restore="restore", objects=["serving"]))
    refuse_frozen(
        graph(
            {
                "x": "Placeholder",
                "y": ("Relu", ("x",)),
                "save/Const": "Const",
                "save/SaveV2": ("SaveV2", ("save/Const", "y")),
            }
        ),
        "g.pb",
    )


WAYS = {
    "the signature calls the saver": meta(graph({**PLAIN, "serve": ("StatefulPartitionedCall", (), "__inference__traced_save_1")}, SAVER)),
    "through another function": meta(graph(PLAIN, {**SAVER, "serving": [("If", (), ["__inference__traced_save_1"])]})),
    "by the function's name as an operation": meta(graph(PLAIN, {**SAVER, "serving": ["__inference__traced_save_1"]})),
    "the signature waits for the saver": meta(graph({**PLAIN, "serve": ("Relu", ("^save",))}, SAVER)),
    "the signature is the saver's node": meta(graph(PLAIN, SAVER), outputs=["save:0"]),
    "the signature reads a checkpoint": meta(graph({**PLAIN, "serve": ("RestoreV2", ())}, SAVER)),
    "restoring saves": meta(graph({**PLAIN, "restore": ("NoOp", ("^save",))}, SAVER), restore="restore"),
    "the object graph calls it": meta(graph(PLAIN, SAVER), objects=["__inference__traced_save_1"]),
    "the start calls it": meta(graph(PLAIN, SAVER), main=["save"]),
    "a file anywhere": meta(graph({**PLAIN, "unused": "WriteFile"}, SAVER)),
    "a file in a function nobody calls": meta(graph(PLAIN, {**SAVER, "f": ["ReadFile"]})),
    "a graph in a constant": meta(graph({**PLAIN, "d": "DatasetFromGraph"}, SAVER)),
    "a vocabulary": meta(graph({**PLAIN, "t": "InitializeTableFromTextFileV2"}, SAVER)),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_ways_around_it_are_refused(way: str) -> None:
    with pytest.raises(
        InputError, match=r"^The SavedModel holds operations that reach files, Python or the network.*: \w+\.$"
    ):
        refuse_saved(WAYS[way])


def test_a_frozen_graph_may_not_run_a_saver() -> None:
    for nodes in ({"y": ("Relu", ("save/out",)), "save/out": "SaveV2"}, {"savey": "SaveV2"}, {"y": "PyFunc"}):
        with pytest.raises(InputError, match=r"The graph g\.pb holds operations"):
            refuse_frozen(graph(nodes), "g.pb")
