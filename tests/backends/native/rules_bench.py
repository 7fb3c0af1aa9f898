"""Compiles the operator rules alone: many small ONNX models in one C library, each value in a buffer of its own."""

from __future__ import annotations

import ctypes
import itertools
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx

from neo_cli.backends.native import importer, operators
from neo_cli.backends.native.cpus import AVX2, Cpu
from neo_cli.backends.native.ir import C_TYPES, Graph, Value
from neo_cli.model.model import Model, Source, Tensor
from neo_cli.model.proto import dtype_name

KERNELS = Path(operators.__file__).parent / "kernels"
HEAD = """
#include <stdint.h>
#include <stddef.h>
typedef ptrdiff_t idx;
typedef struct { int count, round, nt; } gate;
static void wait_all(gate *g) {
    int mine = __atomic_load_n(&g->round, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&g->count, 1, __ATOMIC_ACQ_REL) == g->nt) {
        __atomic_store_n(&g->count, 0, __ATOMIC_RELAXED);
        __atomic_add_fetch(&g->round, 1, __ATOMIC_RELEASE);
    } else while (__atomic_load_n(&g->round, __ATOMIC_ACQUIRE) == mine) {
        long number = 24; /* sched_yield: the other thread may wait for this very core */
        __asm__ volatile("syscall" : "+a"(number) : : "rcx", "r11", "memory");
    }
}
#define BARRIER wait_all(g)
#define PHASE wait_all(g)
#define SPLIT(n) const idx begin = (idx)(n) * tid / nt, end = (idx)(n) * (tid + 1) / nt
void *memset(void *p, int c, size_t n) { char *d = p; for (size_t i = 0; i < n; i++) d[i] = (char)c; return p; }
void *memcpy(void *p, const void *q, size_t n) { char *d = p; const char *s = q; for (size_t i = 0; i < n; i++) d[i] = s[i]; return p; }
"""


_numbers = itertools.count()


@dataclass
class Case:
    """One model with its graph and the arrays its C function wants."""

    graph: Graph
    slots: dict[int, int] = field(default_factory=dict)
    values: list[Value] = field(default_factory=list)
    consts: dict[int, np.ndarray] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)

    def slot(self, value: Value) -> int:
        if id(value) not in self.slots:
            self.slots[id(value)] = len(self.sizes)
            self.sizes.append(value.bytes)
            self.values.append(value)
            if value.const is not None:
                self.consts[self.slots[id(value)]] = np.ascontiguousarray(value.const)
        return self.slots[id(value)]

    def extra(self, size: int, array: np.ndarray | None = None) -> int:
        self.sizes.append(size)
        if array is not None:
            self.consts[len(self.sizes) - 1] = array
        return len(self.sizes) - 1


def model_of(proto: onnx.ModelProto) -> Model:
    """A Model of a graph whose inputs have static shapes."""
    known = {t.name for t in proto.graph.initializer}

    def tensors(values: Sequence[onnx.ValueInfoProto]) -> tuple[Tensor, ...]:
        found = []
        for v in values:
            if v.name not in known:
                kind = v.type.tensor_type
                found.append(Tensor(v.name, dtype_name(kind.elem_type), tuple(d.dim_value for d in kind.shape.dim)))
        return tuple(found)

    return Model(proto, tensors(proto.graph.input), tensors(proto.graph.output), Source("ONNX", Path()), lambda _: {})


def function(case: Case, name: str, cpu: Cpu, headers: dict[str, None], shared: dict[str, str]) -> str:
    """The C function of one model: a call for each node, a barrier after it. Equal statements are compiled once."""
    calls = []
    for node in case.graph.nodes:
        rule = operators.find(node)
        ctx = operators.Context(cpu)
        text = rule.rule(node, ctx)
        headers.update(ctx.headers)
        for declared in ctx.declarations:
            shared.setdefault(declared, "")
        lines, slots = [], []

        def pointer(kind: str, label: str, slot: int, lines: list[str] = lines, slots: list[int] = slots) -> None:
            lines.append(f"{kind} *restrict {label} = p[{len(slots)}];")
            slots.append(slot)

        for i, value in enumerate(node.inputs):
            if value is not None:
                pointer(f"const {C_TYPES[value.dtype]}", f"x{i}", case.slot(value))
        for i, value in enumerate(node.outputs):
            pointer(C_TYPES[value.dtype], f"y{i}", case.slot(value))
        for s in ctx.scratches:
            size = s.bytes + 64
            pointer("char", f"{s.name}_all", case.extra(size * (2 if s.private else 1)))
            lines.append(f"{s.ctype} *restrict {s.name} = (void *)({s.name}_all + {size if s.private else 0} * tid);")
        for key, array in ctx.constants.items():
            pointer(f"const {C_TYPES.get(array.dtype.name, 'uint8_t')}", key, case.extra(array.nbytes, array))
        run = f"if (tid == 0) {{\n{text}\n}}" if rule.serial else text
        body = "\n".join([*lines, run])
        made = shared.setdefault(body, f"op_{len(shared)}")
        calls.append(
            f"{{ void *p[] = {{{', '.join(f'v[{s}]' for s in slots) or '0'}}}; {made}(p, tid, nt, g); BARRIER; }} // {node.op}"
        )
    for value in [*case.graph.inputs, *case.graph.outputs]:
        case.slot(value)
    return f"void {name}(void **v, int tid, int nt, gate *g) {{\n" + "\n".join(calls) + "\n}\n"


def shared_text(shared: dict[str, str]) -> str:
    """Declarations as they are, statements as functions."""
    head = "static __attribute__((noinline)) void"
    return "\n".join(
        f"{head} {n}(void **p, int tid, int nt, gate *g) {{\n{body}\n}}" if n else body for body, n in shared.items()
    )


class Library:
    """Models compiled together; `run(index, inputs)` gives a model's outputs."""

    def __init__(
        self,
        protos: Sequence[onnx.ModelProto],
        work: Path,
        *,
        threads: int = 2,
        optimise: str = "-O1",
        cpu: str = "x86_64_v3",
        prepare: Callable[[Graph], Graph] = lambda graph: graph,
    ) -> None:
        self.threads = threads
        self.cases: list[Case | None] = []
        self.errors: dict[int, Exception] = {}
        headers: dict[str, None] = {}
        shared: dict[str, str] = {}
        functions = []
        for i, proto in enumerate(protos):
            try:
                case = Case(prepare(importer.load(model_of(proto))))
                functions.append(function(case, f"run_{i}", AVX2, headers, shared))
                self.cases.append(case)
            except Exception as error:  # the caller decides what an error of one model means
                self.cases.append(None)
                self.errors[i] = error
        includes = "".join(f'#include "{h}"\n' for h in headers)
        source = "\n".join([HEAD, includes, shared_text(shared), *functions])
        name = f"rules{next(_numbers)}"  # a loader returns the old library for a path it knows
        (work / f"{name}.c").write_text(source)
        flags = ["-target", "x86_64-linux-gnu", f"-mcpu={cpu}", optimise, "-g0", "-fno-sanitize=all", "-ffreestanding"]
        flags += [
            "-fno-math-errno",
            "-ffp-contract=fast",
            "-fno-trapping-math",
            "-nostdlib",
            "-fPIC",
            "-shared",
            "-Wno-unused",
            f"-I{KERNELS}",
        ]
        command = [
            sys.executable,
            "-m",
            "ziglang",
            "cc",
            *flags,
            str(work / f"{name}.c"),
            "-o",
            str(work / f"{name}.so"),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[:3000]
        self.lib = ctypes.CDLL(str(work / f"{name}.so"))

    def run(self, index: int, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        case = self.cases[index]
        assert case is not None
        buffers = []
        for slot, size in enumerate(case.sizes):
            buffer = np.full(size + 128, 0xFF, np.uint8)  # NaN in every float that nobody wrote
            if slot in case.consts:
                buffer[:size] = np.frombuffer(case.consts[slot].tobytes(), np.uint8)[:size]
            buffers.append(buffer)
        for value in case.graph.inputs:
            raw = np.frombuffer(np.ascontiguousarray(inputs[value.name]).tobytes(), np.uint8)
            buffers[case.slots[id(value)]][: raw.size] = raw
        table = (ctypes.c_void_p * len(buffers))(*[b.ctypes.data for b in buffers])
        gate = (ctypes.c_int * 3)(0, 0, self.threads)
        entry = getattr(self.lib, f"run_{index}")
        workers = [threading.Thread(target=entry, args=(table, t, self.threads, gate)) for t in range(1, self.threads)]
        for worker in workers:
            worker.start()
        entry(table, 0, self.threads, gate)
        for worker in workers:
            worker.join()
        found = []
        for value in case.graph.outputs:
            slot = case.slots[id(value)]
            assert (buffers[slot][case.sizes[slot] :] == 0xFF).all(), f"{value.name}: written beyond its end"
            found.append(buffers[slot][: value.bytes].view(np.dtype(value.dtype)).reshape(value.shape))
        return found
