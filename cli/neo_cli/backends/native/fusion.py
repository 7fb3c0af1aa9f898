"""Fewer, larger steps: convolutions take in what follows them, known patterns become one node each."""

from __future__ import annotations

from neo_cli.backends.native import (
    fuse_attention,
    fuse_conv,
    fuse_hard,
    fuse_patterns,
    fuse_qdq,
    fuse_quantised,
    fuse_recurrent,
    fuse_shapes,
    fuse_table,
    fuse_window,
)
from neo_cli.backends.native.cpus import Cpu
from neo_cli.backends.native.ir import Graph
from neo_cli.backends.native.rewrite import Rewriter

# In order: patterns first, as their parts would else be taken into other nodes.
RULES = (
    fuse_shapes.identities,
    fuse_quantised.pairs,
    fuse_qdq.operators,
    fuse_quantised.integers,
    fuse_quantised.sums,
    fuse_table.concatenations,
    fuse_table.tables,
    fuse_quantised.entries,
    fuse_patterns.gelu,
    fuse_patterns.silu,
    fuse_hard.hard_sigmoid,
    fuse_hard.hard_swish,
    fuse_patterns.layer_norm,
    fuse_conv.convolutions,
    fuse_window.pads,
    fuse_window.crops,
    fuse_window.dead_taps,
    fuse_conv.products,
    fuse_recurrent.recurrent,
    fuse_conv.norms,
    fuse_conv.affine,
    fuse_attention.attention,
    fuse_shapes.channels_last,
    fuse_shapes.hoist,
    fuse_conv.endings,
)


def fuse(graph: Graph, cpu: Cpu) -> Graph:
    """The graph with every rule applied wherever it fits."""
    rewriter = Rewriter(graph, cpu.lanes)
    for rule in RULES:
        rule(rewriter)
    graph.prune()
    return graph
