"""compiled_model.json: the graph, one packed function, that lets DLR (or TVM's graph executor) run the library as Neo's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from neo_cli.backends.native.emit import Program
from neo_cli.backends.native.ir import Value

FILE = "compiled_model.json"
FUNCTION = "neo_dlr"


def write(program: Program, path: Path) -> Path:
    """Write the graph: inputs and weights are arguments, scratch is an output that nobody asks for."""
    path.write_text(json.dumps(graph(program), indent=1) + "\n", encoding="utf-8")
    return path


def graph(program: Program) -> dict[str, Any]:
    inputs, outputs = program.graph.inputs, program.graph.outputs
    arguments = [v.name for v in inputs] + [program.weights.name]
    nodes: list[dict[str, Any]] = [{"op": "null", "name": name, "inputs": []} for name in arguments]
    attributes = {
        "func_name": FUNCTION,
        "flatten_data": "0",
        "num_inputs": str(len(arguments)),
        "num_outputs": str(len(outputs) + 1),
    }
    places = [[i, 0, 0] for i in range(len(arguments))]
    nodes.append({"op": "tvm_op", "name": "network", "attrs": attributes, "inputs": places})
    blob, scratch = [program.weights.size], [program.scratch(1)]
    types = [*map(_type, inputs), "uint8", *map(_type, outputs), "uint8"]
    shapes = [*(list(v.shape) for v in inputs), blob, *(list(v.shape) for v in outputs), scratch]
    return {
        "nodes": nodes,
        "arg_nodes": list(range(len(arguments))),
        "heads": [[len(arguments), i, 0] for i in range(len(outputs))],
        "attrs": {
            "dltype": ["list_str", types],
            "shape": ["list_shape", shapes],
            "storage_id": ["list_int", list(range(len(types)))],
        },
        "node_row_ptr": [*range(len(arguments) + 1), len(types)],
    }


def _type(value: Value) -> str:
    return value.dtype
