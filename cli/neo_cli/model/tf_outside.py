"""What a TensorFlow graph must not do: reach files, the network, Python, or a graph that is hidden in a constant.

The names are judged against TensorFlow's own register (`tests/model/test_tf_outside.py`): every operation that keeps state
or takes a path, an address or a serialised graph is either here or known to stay inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from neo_cli.base.errors import InputError

FILES = {
    "CacheDataset", "CacheDatasetV2", "CalibrationStatisticsSaver", "CSVDataset", "CSVDatasetV2", "DatasetToTFRecord", "DecodeProtoV2",
    "DeleteFile", "DumpTensor", "EncodeProto", "ExperimentalCSVDataset", "ExperimentalDatasetToTFRecord", "ExperimentalLMDBDataset",
    "ExperimentalMatchingFilesDataset", "ExperimentalSqlDataset", "FileSystemSetConfiguration", "FixedLengthRecordDataset",
    "FixedLengthRecordDatasetV2", "FixedLengthRecordReader", "FixedLengthRecordReaderV2", "FixedUnigramCandidateSampler",
    "GenerateVocabRemapping", "ImmutableConst",
    "InitializeTableFromTextFile", "InitializeTableFromTextFileV2", "LMDBDataset", "LMDBReader", "ListSnapshotChunksDataset",
    "LoadAndRemapMatrix", "LoadDataset", "MatchingFiles", "MatchingFilesDataset", "ReadFile", "RecordInput", "SaveDataset", "SaveDatasetV2",
    "Skipgram", "SnapshotChunkDataset", "SnapshotDataset", "SnapshotDatasetReader", "SnapshotDatasetV2", "SnapshotNestedDatasetReader",
    "SqlDataset", "TextLineDataset", "TextLineReader", "TextLineReaderV2", "TFRecordDataset", "TFRecordDatasetV2", "TFRecordReader",
    "TFRecordReaderV2", "WholeFileReader", "WholeFileReaderV2", "WriteFile",
}  # fmt: skip
# Text and numbers for a person: to a file, a database, or an address given as debug_urls or output_stream.
WATCHING = {
    "CloseSummaryWriter", "Copy", "CopyHost", "CreateSummaryDbWriter", "CreateSummaryFileWriter", "DebugIdentity", "DebugIdentityV2",
    "DebugIdentityV3", "DebugNanCount", "DebugNumericSummary", "ExperimentalSetStatsAggregatorDataset", "FlushSummaryWriter", "ImportEvent",
    "PrintV2", "SetStatsAggregatorDataset", "StatsAggregatorSetSummaryWriter", "SummaryWriter", "WriteAudioSummary", "WriteGraphSummary",
    "WriteHistogramSummary", "WriteImageSummary", "WriteRawProtoSummary", "WriteScalarSummary", "WriteSummary",
}  # fmt: skip
PYTHON = {"EagerPyFunc", "GeneratorDataset", "PyFunc", "PyFuncStateless"}
HIDDEN = {"DatasetFromGraph", "DeserializeIterator", "RemoteFusedGraphExecute", "XlaCustomCall", "XlaCustomCallV2"}
NETWORK = {
    "DataServiceDataset", "DataServiceDatasetV2", "DataServiceDatasetV3", "DataServiceDatasetV4", "DeleteRpcFutureResource", "Recv",
    "RegisterDataset", "RegisterDatasetV2", "RemoteCall", "RpcCall", "RpcCheckStatus", "RpcClient", "RpcGetValue", "RpcServer",
    "RpcServerRegister", "RpcServerStart", "Send", "WorkerHeartbeat", "XlaRecv", "XlaRecvFromHost", "XlaSend", "XlaSendToHost", "_HostRecv",
    "_HostSend", "_Recv", "_Send",
}  # fmt: skip
OUTSIDE = FILES | WATCHING | PYTHON | HIDDEN | NETWORK
# What a model holds to save and restore itself: harmless where nothing that is run leads to it.
SAVING = {"DistributedSave", "MergeV2Checkpoints", "Save", "SaveSlices", "SaveV2"}
RESTORING = {"DTensorRestoreV2", "Restore", "RestoreSlice", "RestoreV2"}
STARTS = (
    "saved_model_main_op",
    "legacy_init_op",
    "saved_model_train_op",
)  # collections of operations that loading may run


def refuse_saved(meta: Any) -> None:
    """Raise InputError when the MetaGraphDef holds such an operation, or leads to its own saver where it is run."""
    graph, functions = meta.graph_def, _object_functions(meta.object_graph_def)
    run = _outputs(meta) | {plain for key in STARTS for plain in _collected(meta.collection_def, key)}
    reached = _reached(graph, run, functions)
    loading = _reached(graph, {_node(meta.saver_def.restore_op_name)}, set())
    _refuse(_everything(graph) & OUTSIDE | reached & (SAVING | RESTORING) | loading & SAVING, "The SavedModel")


def refuse_frozen(graph: Any, name: str) -> None:
    """Raise InputError when the GraphDef holds such an operation; a saver that was left in it must lead nowhere."""
    run = {node.name for node in graph.node if not node.name.startswith("save/")}
    _refuse(_everything(graph) & OUTSIDE | _reached(graph, run, set()) & (SAVING | RESTORING), f"The graph {name}")


def _refuse(found: set[str], what: str) -> None:
    if found:
        raise InputError(
            f"{what} holds operations that reach files, Python or the network, and is not loaded: {', '.join(sorted(found))}."
        )


def _everything(graph: Any) -> set[str]:
    return {n.op for n in graph.node} | {n.op for f in graph.library.function for n in f.node_def}


def _reached(graph: Any, nodes: Iterable[str], functions: Iterable[str]) -> set[str]:
    """Operations of everything the nodes depend on and of the functions, through all the functions they call."""
    known = {node.name: node for node in graph.node}
    library = {function.signature.name: function for function in graph.library.function}
    found: set[str] = set()
    seen: set[str] = set()
    calls, left = list(functions), list(nodes)
    while left:
        name = left.pop()
        if name in seen or name not in known:
            continue
        seen.add(name)
        node = known[name]
        found.add(node.op)
        left += [_node(i) for i in node.input]
        calls += _called(node)
    done: set[str] = set()
    while calls:
        name = calls.pop()
        if name in done or name not in library:
            continue
        done.add(name)
        for node in library[name].node_def:
            found.add(node.op)
            calls += _called(node)
    return found


def _called(node: Any) -> Iterator[str]:
    yield node.op  # an operation may be a function's name
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        yield from (function.name for function in value.list.func)


def _node(name: str) -> str:
    return name.lstrip("^").split(":")[0]


def _outputs(meta: Any) -> set[str]:
    """The nodes that signatures name, the loader's own ones included."""
    found: set[str] = set()
    for signature in meta.signature_def.values():
        for info in (*signature.outputs.values(), *signature.inputs.values()):
            parts = [info.name, info.coo_sparse.values_tensor_name, info.coo_sparse.indices_tensor_name]
            parts += [info.coo_sparse.dense_shape_tensor_name, *(c.name for c in info.composite_tensor.components)]
            found |= {_node(part) for part in parts if part}
    return found


def _collected(collections: Any, key: str) -> set[str]:
    return {_node(name) for name in collections[key].node_list.value} if key in collections else set()


def _object_functions(objects: Any) -> set[str]:
    """Functions that the loader gives back as Python callables, or calls itself."""
    found = set(objects.concrete_functions)
    for node in objects.nodes:
        found |= {*node.function.concrete_functions, node.bare_concrete_function.concrete_function_name}
    return found
