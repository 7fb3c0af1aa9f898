"""The library's source: one readable C file, a function for each node, named after it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from neo_cli.backends.native.cpus import Cpu
from neo_cli.backends.native.ir import C_TYPES, Graph, Node, Value
from neo_cli.backends.native.memory import Plan, plan
from neo_cli.backends.native.operators import Context, find
from neo_cli.backends.native.weights import Weights

KERNELS = Path(__file__).with_name("kernels")
_INCLUDE = re.compile(r'^#include "(.+)"\n', re.MULTILINE)


@dataclass
class Program:
    """A lowered graph: C text, weights and the plan that the text's offsets come from."""

    graph: Graph
    plan: Plan
    weights: Weights
    contexts: list[Context] = field(default_factory=list)
    text: str = ""
    steps: list[int] = field(default_factory=list)  # the nodes that became functions

    def scratch(self, threads: int) -> int:
        return self.plan.shared + threads * self.plan.private


def emit(graph: Graph, cpu: Cpu, features: Sequence[str], keep: bool = False) -> Program:
    """Ask each node's rule for its statements, plan memory, write the file. `keep` leaves every value readable."""
    contexts = [Context(cpu, step=step) for step in range(len(graph.nodes))]
    bodies = [find(node).rule(node, context) for node, context in zip(graph.nodes, contexts)]
    program = Program(graph, plan(graph, contexts, keep), Weights(), contexts)
    steps = [step for step, body in enumerate(bodies) if body.strip()]  # a part made in place leaves nothing to do
    functions = [_function(program, step, bodies[step]) for step in steps]
    program.steps = [step for step in steps for _ in phases(bodies[step])]
    contexts = [inner for context in contexts for inner in (context, *(part.context for part in context.parts))]
    headers = dict.fromkeys(h for context in contexts for h in context.headers)
    declared = dict.fromkeys(d for context in contexts for d in context.declarations)
    program.text = "\n".join(
        [
            f"/* {graph.name}: {len(graph.nodes)} steps, compiled by neo-cli for {cpu.name}. */",
            f"#define VL {cpu.lanes}",
            *(f"#define {macro}" for macro in sorted({m for context in contexts for m in context.macros})),
            *kernels(("compiled.h", "base.h", *headers)),
            *declared,
            *functions,
            _steps(graph, {step: phases(bodies[step]) for step in steps}),
            _tables(program, features),
            _RUNS,
            *kernels(("team.h", "dlr.h")),
            "",
        ]
    )
    return program


def kernels(names: Iterable[str]) -> list[str]:
    """The texts of files of kernels/, each once, after those that it includes from there."""
    texts: dict[str, str] = {}

    def take(name: str) -> None:
        if name not in texts:
            text = (KERNELS / name).read_text(encoding="utf-8")
            for inner in _INCLUDE.findall(text):
                take(inner)
            texts[name] = f"/* ---- {name} ---- */\n" + _INCLUDE.sub("", text)

    for name in names:
        take(name)
    return list(texts.values())


def c_name(step: int, node: Node, phase: int = 0) -> str:
    return f"n{step}_" + re.sub(r"\W", "_", node.op) + (f"_{phase}" if phase else "")


def _function(program: Program, step: int, body: str) -> str:
    """The node's function, after those of its parts."""
    node, context = program.graph.nodes[step], program.contexts[step]
    parts = [
        _statements(program, step, part.node, part.context, part.name, part.body) for part in context.parts
    ]  # fmt: skip
    pieces = phases(body)
    names = [c_name(step, node, index) for index in range(len(pieces))]
    whole = [_statements(program, step, node, context, name, piece) for name, piece in zip(names, pieces)]
    return "\n".join([*parts, *whole])


def phases(body: str) -> list[str]:
    """A rule's statements cut where it says PHASE: each piece is a step, and all threads are done before the next."""
    return [piece for piece in re.split(r"^\s*PHASE;\s*$", body, flags=re.MULTILINE) if piece.strip()]


def _statements(program: Program, step: int, node: Node, context: Context, name: str, body: str) -> str:
    """The node's statements with the pointers they name."""
    lines = [_comment(node), f"static void {name}(const struct frame *f) {{"]
    if re.search(r"\b(tid|nt)\b", body):
        lines.append("    const int tid = f->tid, nt = f->nt; (void)tid; (void)nt;")
    if find(node).serial:
        lines.append("    if (f->tid) return;")
    for kind, values in (("x", node.inputs), ("y", node.outputs)):
        for index, value in enumerate(values):
            if value is not None and re.search(rf"\b{kind}{index}\b", body):
                const = "const " if kind == "x" else ""
                lines.append(f"    {const}{value.ctype} *restrict {kind}{index} = {_pointer(program, value, const)};")
    for constant, array in context.constants.items():
        ctype = _ctype(array.dtype.name)
        place = program.weights.place(array)
        lines.append(f"    const {ctype} *restrict {constant} = (const {ctype} *)(f->w + {place});")
    for scratch in context.scratches:
        base = "f->p" if scratch.private else "f->a"
        lines.append(
            f"    {scratch.ctype} *restrict {scratch.name} = "
            f"({scratch.ctype} *)({base} + {program.plan.scratches[step, scratch.name]});"
        )
    return "\n".join([*lines, *("    " + line for line in body.strip().split("\n")), "}", ""])


def _comment(node: Node) -> str:
    def told(value: Value | None) -> str:
        return "-" if value is None else f"{value.name} {'x'.join(map(str, value.shape)) or 'scalar'} {value.layout}"

    used = ", ".join(told(v) for v in node.inputs)
    made = ", ".join(told(v) for v in node.outputs)
    origin = " + ".join(node.origin or (node.name,))
    return "/* " + f"{origin} ({node.op}): {used} -> {made}".replace("*/", "* /").replace("\n", " ") + " */"


def _pointer(program: Program, value: Value, const: str) -> str:
    offset, home = 0, value
    while home.home is not None:
        offset, home = offset + home.offset, home.home
    cast = f"({const}{value.ctype} *)"
    if home.const is not None:
        return f"(const {value.ctype} *)(f->w + {program.weights.place(home.const) + offset})"
    for values, kind, where in ((program.graph.inputs, "const ", "in"), (program.graph.outputs, "", "out")):
        if home in values:
            return f"{cast}(({kind}unsigned char *)f->{where}[{values.index(home)}] + {offset})"
    return f"{cast}(f->a + {program.plan.places[home] + offset})"


def _ctype(dtype: str) -> str:
    return C_TYPES[dtype]


def _steps(graph: Graph, bodies: Mapping[int, Sequence[str]]) -> str:
    """The table of steps; a collective one waits inside, so that every thread must take part in it."""
    rows = [
        f"{{{c_name(step, graph.nodes[step], index)}, {int('BARRIER' in piece)}}}"
        for step, pieces in bodies.items()
        for index, piece in enumerate(pieces)
    ]
    table = ",\n    ".join(rows or ["{0, 0}"])
    return f"""\
static const struct {{ void (*run)(const struct frame *); int collective; }} steps[] = {{
    {table}
}};
enum {{ STEPS = {len(rows)} }};
"""


def _tables(program: Program, features: Sequence[str]) -> str:
    graph, plan = program.graph, program.plan
    groups = (graph.inputs, graph.outputs)
    shapes = ["{" + ", ".join(map(str, v.shape or (1,))) + "}" for g in groups for v in g]
    rank = max([1, *(len(v.shape) for g in groups for v in g)])
    rows = ",\n    ".join(
        f'{{{_quoted(v.name)}, "{v.dtype}", {len(v.shape)}, {v.size * v.itemsize}, {shape}}}'
        for v, shape in zip([v for g in groups for v in g], shapes)
    )
    return f"""\
static const struct {{ const char *name, *dtype; int32_t rank; size_t bytes; int64_t shape[{rank}]; }} tensors[] = {{
    {rows}
}};
#define SHARED {plan.shared}u /* bytes of scratch, and for each thread */
#define PRIVATE {plan.private}u
enum {{ INPUTS = {len(graph.inputs)}, OUTPUTS = {len(graph.outputs)} }};
#define TENSOR tensors[(kind == NEO_INPUT ? 0 : INPUTS) + index]
NEO_API int32_t neo_abi(void) {{ return 1; }}
NEO_API int32_t neo_count(int32_t kind) {{ return kind == NEO_INPUT ? INPUTS : OUTPUTS; }}
NEO_API const char *neo_name(int32_t kind, int32_t index) {{ return TENSOR.name; }}
NEO_API const char *neo_dtype(int32_t kind, int32_t index) {{ return TENSOR.dtype; }}
NEO_API int32_t neo_rank(int32_t kind, int32_t index) {{ return TENSOR.rank; }}
NEO_API const int64_t *neo_shape(int32_t kind, int32_t index) {{ return TENSOR.shape; }}
NEO_API size_t neo_bytes(int32_t kind, int32_t index) {{ return TENSOR.bytes; }}
NEO_API size_t neo_scratch_bytes(int32_t threads) {{ return SHARED + (size_t)threads * PRIVATE; }}
NEO_API size_t neo_weights_bytes(void) {{ return {program.weights.size}u; }}
NEO_API size_t neo_weights_offset(void) {{ return {program.weights.start}u; }}
#ifdef EMBEDDED /* the weights' file; without it they are mapped by the caller */
static const _Alignas(64) unsigned char embedded[] = {{
#embed EMBEDDED
}};
NEO_API const void *neo_weights(void) {{ return embedded; }}
#else
NEO_API const void *neo_weights(void) {{ return 0; }}
#endif
NEO_API const char *neo_features(void) {{ return "{" ".join(features)}"; }}
"""


# How a run goes: on each of several threads, for several rows, for measuring. `SHARED` and the like stand in the tables.
_RUNS = """\
NEO_API void neo_run(const void *const *inputs, void *const *outputs, const void *weights, void *scratch,
                     int32_t thread, int32_t threads, neo_wait wait, void *team) {
    unsigned char *arena = scratch;
    const struct frame frame = {weights, arena, arena + SHARED + (size_t)thread * PRIVATE, inputs, outputs, thread, threads,
                                0, 0, wait, team};
    const uintptr_t saved = fp_enter();
    for (int step = 0; step < STEPS; step++) {
        steps[step].run(&frame);
        if (threads > 1) wait(team);
    }
    fp_leave(saved);
}
NEO_API void neo_rows(const void *const *inputs, void *const *outputs, const void *weights, void *scratch, int64_t rows) {
    const void *in[INPUTS + 1];
    void *out[OUTPUTS + 1];
    for (int64_t row = 0; row < rows; row++) {
        for (int i = 0; i < INPUTS; i++) in[i] = (const unsigned char *)inputs[i] + row * tensors[i].bytes;
        for (int i = 0; i < OUTPUTS; i++) out[i] = (unsigned char *)outputs[i] + row * tensors[INPUTS + i].bytes;
        neo_run(in, out, weights, scratch, 0, 1, 0, 0);
    }
}
/* One run on one thread; ticks[step] is what the step took, in cycles of the time stamp counter. */
NEO_API int32_t neo_profile(const void *const *inputs, void *const *outputs, const void *weights, void *scratch,
                            uint64_t *ticks) {
#if defined(__x86_64__) || defined(__i386__)
    unsigned char *arena = scratch;
    const struct frame frame = {weights, arena, arena + SHARED, inputs, outputs, 0, 1, 0, 0, 0, 0};
    const uintptr_t saved = fp_enter();
    for (int step = 0; step < STEPS; step++) {
        const uint64_t start = __builtin_readcyclecounter();
        steps[step].run(&frame);
        ticks[step] = __builtin_readcyclecounter() - start;
    }
    fp_leave(saved);
#endif
    return STEPS;
}
"""


def _quoted(name: str) -> str:
    return (
        '"'
        + "".join(
            c if 32 <= ord(c) < 127 and c not in '"\\?' else "".join(f"\\{b:03o}" for b in c.encode()) for c in name
        )
        + '"'
    )
