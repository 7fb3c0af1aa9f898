"""What the schedule must know of a CPU family, as records: a new CPU is a line here."""

from __future__ import annotations

from dataclasses import dataclass, replace

from neo_cli.targets.devices import Target


@dataclass(frozen=True)
class Int8:
    """How 8-bit numbers are multiplied: the tile of `pixels` x `vectors` blocks of 16 channels, in registers of `lanes` sums.

    `kind`: "vnni" and "dot" add four products at once (unsigned by signed on x86, signed by signed on ARM), "madd" adds
    two of 16 bits, "wide" multiplies numbers of 16 bits one by one. Activations in blocks are of type `dtype`.
    """

    kind: str
    lanes: int
    pixels: int
    vectors: int
    dtype: str = "uint8"


WIDE = Int8("wide", 4, 1, 1, "int8")


@dataclass(frozen=True)
class Cpu:
    """`lanes` floats in a vector; the micro-kernel keeps `pixels` x `vectors` of them in registers.

    `panel` is the bytes of packed weights that stay in the first-level cache while pixels pass by, `band` the bytes of
    input that stay in the second level. `broadcast` False: weights are multiplied by a lane of a loaded vector (NEON).
    `row` is the pixels that a depthwise convolution makes at once.
    `halves`: how many times as fast bfloat16 products are (0: none are made), in `tiles` registers of AMX.
    """

    name: str
    lanes: int
    pixels: int
    vectors: int
    column: int  # pixels of the tile of one vector
    panel: int
    band: int
    broadcast: bool = True
    row: int = 4
    halves: float = 0.0
    tiles: bool = False
    flags: tuple[str, ...] = ()
    int8: Int8 = WIDE


AVX512 = Cpu("avx512", 16, 14, 2, 28, 36 << 10, 600 << 10, row=14, flags=("-mprefer-vector-width=512",))
BF16 = replace(AVX512, name="avx512_bf16", halves=1.9)
AMX = replace(AVX512, name="amx", halves=5.0, tiles=True)  # an estimate: this code was never executed
AVX2 = Cpu("avx2", 8, 6, 2, 12, 16 << 10, 160 << 10, row=7)
AVX = Cpu("avx", 8, 5, 2, 10, 16 << 10, 160 << 10)
SSE = Cpu("sse", 4, 5, 2, 10, 16 << 10, 160 << 10)
SSE32 = Cpu("sse32", 4, 2, 2, 5, 16 << 10, 160 << 10)  # eight registers
NEON64 = Cpu("neon64", 4, 8, 2, 16, 16 << 10, 256 << 10, broadcast=False, row=7)
NEON32 = Cpu("neon32", 4, 3, 2, 6, 16 << 10, 160 << 10, broadcast=False, row=7)
SCALAR = Cpu("scalar", 1, 2, 2, 4, 8 << 10, 96 << 10)

# The first record whose architecture and features the target has. A target has those for bfloat16 only when it is asked for.
CPUS: tuple[tuple[str, str, Cpu], ...] = (
    ("x86_64", "amx_bf16", AMX),
    ("x86_64", "avx512_bf16", BF16),
    ("x86_64", "avx512f", AVX512),
    ("x86_64", "avx2", AVX2),
    ("x86_64", "avx", AVX),
    ("x86_64", "", SSE),
    ("x86", "", SSE32),
    ("arm64", "", NEON64),
    ("armhf", "neon", NEON32),
    ("armel", "neon", NEON32),
)

# The same for 8-bit numbers.
INT8: tuple[tuple[str, str, Int8], ...] = (
    ("x86_64", "avx512_vnni", Int8("vnni", 16, 14, 2)),
    ("x86_64", "avx512bw", Int8("madd", 16, 12, 2)),
    ("x86_64", "avx_vnni", Int8("vnni", 8, 6, 1)),
    ("x86_64", "avx2", Int8("madd", 8, 4, 1)),
    ("x86_64", "", Int8("madd", 4, 2, 1)),
    ("x86", "", Int8("madd", 4, 1, 1)),  # eight registers
    ("arm64", "asimddp", Int8("dot", 4, 5, 1, "int8")),
    ("arm64", "", Int8("wide", 4, 4, 1, "int8")),
    ("armhf", "neon", Int8("wide", 4, 2, 1, "int8")),
    ("armel", "neon", Int8("wide", 4, 2, 1, "int8")),
)


def cpu_of(target: Target) -> Cpu:
    """The record for a target; scalar code where no family fits."""

    def fits(arch: str, feature: str) -> bool:
        return arch == target.arch and (not feature or feature in target.features)

    found = next((cpu for arch, feature, cpu in CPUS if fits(arch, feature)), SCALAR)
    return replace(found, int8=next((int8 for arch, feature, int8 in INT8 if fits(arch, feature)), WIDE))
