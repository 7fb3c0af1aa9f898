"""The loops that most layers run in keep their sums in registers, on every processor whose code is listed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from backends.graphs import as_model
from backends.native.test_kernels import conv
from neo_cli.backends.native import compiler
from neo_cli.backends.native.cpus import cpu_of
from neo_cli.targets.devices import targets

TOOL = Path(__file__).parents[3] / "docs" / "tools" / "machine_code.py"
# The target; the steps of one turn of the loop, and vectors that go to the stack and back in it. SSE has no products
# that add: one more register holds what is to be added.
TILES = {"ml_c5": (4, 0), "ml_m4": (8, 0), "ml_m6g": (4, 0), "LINUX_X86_64": (4, 2)}


def load():
    spec = importlib.util.spec_from_file_location("machine_code", TOOL)
    assert spec is not None and spec.loader is not None
    sys.modules["machine_code"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("target", TILES)
def test_the_tile_of_most_layers_stays_in_registers(tmp_path, target):
    code, record = load(), targets()[target]
    cpu = cpu_of(record)
    graph = conv(64, 64, (cpu.pixels, cpu.pixels * 4), 1, 1, 1, 1, "r")
    program = compiler.lower(as_model(graph, tmp_path), cpu, record, {}, compiler.Stages(tmp_path))
    found = code.functions(code.listing(program.text, record, cpu, tmp_path))
    name = next(n for n in found if n.startswith(f"conv_1x{cpu.pixels}x{cpu.vectors}_"))
    loop = code.mix(code.hot_loop(found[name]))
    steps, spills = TILES[target]
    assert loop.fma == cpu.pixels * cpu.vectors * steps
    assert loop.spills <= spills


@pytest.mark.parametrize("target", ["ml_c5", "ml_m4", "ml_m6g", "LINUX_X86_64"])
def test_a_product_of_one_row_has_sums_enough_to_hide_their_latency(tmp_path, target):
    code, record = load(), targets()[target]
    cpu = cpu_of(record)
    graph = conv(64, 6 * cpu.lanes + 1, (1, 1), 1, 1, 1, 1, "")  # a group of six vectors and one of one
    program = compiler.lower(as_model(graph, tmp_path), cpu, record, {}, compiler.Stages(tmp_path))
    found = code.functions(code.listing(program.text, record, cpu, tmp_path))
    name = next(n for n in found if n.startswith("conv_1x1x6_"))
    loop = code.mix(code.hot_loop(found[name]))
    assert loop.fma % 6 == 0 and loop.fma and loop.spills == 0


def test_a_loop_is_told_from_what_stands_around_it():
    code = load()
    listing = """f:
\tmovq\t%rax, -8(%rsp)                 # 8-byte Spill
.LBB0_1:
\txorl\t%eax, %eax
.LBB0_2:
\tvmovups\t(%rdx), %ymm1
\tvfmadd231ps\t(%rcx), %ymm1, %ymm0
\tvmovups\t%ymm2, 32(%rsp)                # 32-byte Spill
\tjne\t.LBB0_2
\tvmovups\t%ymm0, (%rdi)
\tjne\t.LBB0_1
.Lfunc_end0:
"""
    loop = code.hot_loop(code.functions(listing)["f"])
    assert code.mix(loop) == code.Mix(instructions=4, fma=1, loads=2, stores=1, spills=1)
    assert code.hot_loop(["\tmovq\t%rax, %rbx"]) == []
