"""What a PyTorch file must not hold, refused by name before torch opens it.

TorchScript is a program: two of its operators reach files, others the network, and `__setstate__` runs while the file is
loaded. An exported program is data that torch evaluates: targets are looked up from the module torch on, symbolic sizes
and guards are evaluated as Python, names are pasted into code, and pickles are loaded whatever is in them.
"""

from __future__ import annotations

import ast
import io
import itertools
import json
import pickle
import pickletools
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neo_cli.base.errors import InputError
from neo_cli.model.pickle_scan import scan

CANNOT = "Framework cannot load PyTorch model."
# what zipfile, zlib and json raise for bytes that are none of theirs, and Python for JSON of another form
UNREADABLE = (
    zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, TypeError, AttributeError, LookupError, NotImplementedError, RuntimeError,
    pickle.UnpicklingError,
)  # fmt: skip
FILES = {"save", "from_file"}
NETWORK = {"rpc_async", "rpc_sync", "rpc_remote"}
NAMESPACES = {
    "c10d", "_c10d_functional", "_c10d_functional_autograd", "symm_mem", "debugprims", "_dtensor", "rpc", "profiler", "dist_c10d", "dist_rpc",
    "inductor",
}  # fmt: skip
# TorchScript's tokens: text, comment, line end that does not count, name, anything else.
TOKEN = re.compile(
    r"(?P<text>\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*')|(?P<skip>#[^\n]*|\\\n)|(?P<word>[A-Za-z_]\w*)|(?P<other>\S)",
    re.DOTALL,
)
TARGET = re.compile(
    r"torch\.ops\.(aten|prims|quantized|quantized_decomposed|higher_order|mkldnn|onednn)\.(?P<op>\w+)(\.\w+)?|torch\.sym_\w+|torch\._check\w*|math\.\w+"
    r"|_operator\.(abs|add|and_|contains|eq|floordiv|ge|getitem|gt|index|invert|is_|is_not|le|lshift|lt|mod|mul|ne|neg|not_|or_|pos|pow|rshift|sub|truediv|truth|xor)"
)
EVALUATED = ("_operator", "torch", "math", "#")  # a target of another beginning stays a text
# What sizes and guards may call: sympy's and torch's arithmetic, written out.
ARITHMETIC = {
    "Abs", "Add", "And", "BitwiseFn_bitwise_and", "BitwiseFn_bitwise_or", "CeilDiv", "CeilToInt", "CleanDiv", "Eq", "Equality", "False", "Float", "FloatPow",
    "FloatTrueDiv", "FloorDiv", "FloorToInt", "Ge", "GreaterThan", "Gt", "Identity", "IntTrueDiv", "Integer", "Le", "LessThan", "Lt", "Max", "Min", "Mod",
    "ModularIndexing", "Mul", "Ne", "Not", "Or", "Piecewise", "Pow", "PowByNatural", "PythonMod", "Rational", "RoundDecimal", "RoundToInt", "StrictGreaterThan",
    "StrictLessThan", "Symbol", "ToFloat", "True", "TruncToFloat", "TruncToInt", "Unequality", "Where", "abs", "float", "int", "max", "min",
}  # fmt: skip
METHODS = {"size", "stride", "storage_offset", "dim", "item"}
FUNCTIONS = {"trunc", "floor", "ceil", "sqrt"}  # of math
SYNTAX = (
    ast.Expression, ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.Compare, ast.boolop, ast.unaryop, ast.operator, ast.cmpop, ast.Subscript, ast.Load, ast.IfExp,
    ast.Tuple,
)  # fmt: skip
PLAIN_NAME = re.compile(r"[\w.:\-/<> ]*")
PLAIN_SPEC = re.compile(r'(?:[\w\s\[\]{},:.\-"]|\\["\\])*')
SKIPPED = {"metadata", "guards_code", "in_spec", "out_spec", "expr_str", "target", "torch_version"}
MEMBERS = re.compile(
    r"archive_format|archive_version|byteorder|version|\.(data|format)/[\w]+|\.data/.*|\.format_version|\.storage_alignment|models/[\w-]+\.json"
    r"|data/weights/(weight_\d+|[\w-]+_weights_config\.json)|data/constants/(tensor_\d+|[\w-]+_constants_config\.json)"
    r"|data/sample_inputs/[\w-]+\.pt|extra/.*"
)
# What a pickled tensor needs.
TENSORS = re.compile(
    r"collections OrderedDict|torch\._utils _rebuild_(tensor_v2|parameter)|torch (\w+Storage|Size|storage\.UntypedStorage)|torch\.storage \w+Storage"
    r"|torch (float|bfloat|int|uint)\d+|torch bool|torch _utils\._rebuild_tensor_v2|torch\.serialization _get_layout"
)


def refuse_code(path: Path, kind: str) -> None:
    """Raise InputError for what the file ("torchscript" or "exported") may not do, and for a broken one."""
    try:
        _look(path, kind)
    except UNREADABLE as error:
        raise InputError(f"{CANNOT} {path.name} is broken: {' '.join(str(error).split())[:200]}.") from error


def _look(path: Path, kind: str) -> None:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            inner = name.split("/", 1)[-1]
            if kind == "torchscript" and ("code/" in name.lower() or name.lower().endswith(".py")):
                if not name.lower().endswith(".debug_pkl"):
                    _script(archive.read(name).decode("utf-8", "replace"), path.name)
            elif kind == "exported":
                _member(archive, name, inner, path.name)


def _script(code: str, file: str) -> None:
    """Operators that reach outside, however they are written: called, taken as a value, or by getattr."""
    tokens = [(m.lastgroup, m.group()) for m in TOKEN.finditer(code) if m.lastgroup != "skip"]
    words = [text for _, text in tokens]
    own = {words[i] for i in range(len(words) - 1) if words[i + 1] == ":" and (not i or words[i - 1] not in (".", ","))}
    heads = {b for a, b, c, d in zip(words, words[1:], words[2:], words[3:]) if (a, c, d) == ("(", ":", "__torch__")}
    itself = heads - {
        a for a, b in itertools.pairwise(words) if b == "="
    }  # what a method calls the module it belongs to
    padded = ["", "", *words, "", "", "", ""]
    for at, word in enumerate(words, 2):
        before, after = padded[at - 1], padded[at + 1]
        if (
            word in FILES | NETWORK
            and before == "."
            and (after == "(" or word not in own or padded[at - 2] not in itself)
        ):
            raise InputError(
                f"{CANNOT} The program in {file} uses the operator {word}, which reaches files or the network."
            )
        if before == "." and word in NAMESPACES and padded[at - 2] in ("ops", "classes"):
            raise InputError(f"{CANNOT} The program in {file} uses operators of {word}, which reach outside it.")
        if word in ("torch", "ops") and before != "." and after != ".":
            raise InputError(
                f"{CANNOT} The program in {file} uses the name {word} by itself, as no exporter writes it."
            )
        if word == "getattr" and not re.fullmatch(r'\([\w.()]*,"[^"\\]*"\)', _argument(words, at - 1)):
            raise InputError(f"{CANNOT} The program in {file} asks for an attribute whose name is computed.")
        if word == "getattr" and {f'"{n}"' for n in FILES | NETWORK} & set(words[at - 1 : at + 12]):
            raise InputError(f"{CANNOT} The program in {file} asks for an operator that reaches files or the network.")


def _argument(words: list[str], at: int) -> str:
    """What stands in the parentheses behind a word, they included."""
    depth, found = 0, []
    for word in words[at : at + 200]:
        found.append(word)
        depth += {"(": 1, ")": -1}.get(word, 0)
        if depth == 0:
            break
    return "".join(found)


def _member(archive: zipfile.ZipFile, name: str, inner: str, file: str) -> None:
    if not MEMBERS.fullmatch(inner):
        raise InputError(
            f"{CANNOT} {file} holds {ascii(name)[1:-1]}, which is no part of an exported program; save it with torch.export.save."
        )
    if inner.startswith("models/"):
        _program(json.loads(archive.read(name)), file)
    elif inner.endswith("_config.json"):
        for entry in (json.loads(archive.read(name)).get("config") or {}).values():
            if entry.get("use_pickle") or not re.fullmatch(r"(weight|tensor)_\d+", str(entry.get("path_name"))):
                raise InputError(
                    f"{CANNOT} {file} keeps objects as pickles, which may hold code; only tensors are loaded."
                )
    elif inner.startswith("data/sample_inputs/"):
        _tensors(archive.read(name), file)


def _tensors(data: bytes, file: str) -> None:
    """A torch.save of nothing but tensors: torch itself falls back to loading anything."""
    fault = InputError(f"{CANNOT} {file} keeps example inputs that are more than tensors, which may hold code.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as inner:
            names = [n.split("/", 1)[-1].lower() for n in inner.namelist()]
            pickles = [n for n in inner.namelist() if n.lower().endswith(".pkl")]
            if (
                data[:4] != b"PK\x03\x04"
                or len(set(names)) != len(names)
                or [n.split("/", 1)[-1] for n in pickles] != ["data.pkl"]
            ):
                raise fault
            text = inner.read(pickles[0])
        scan(text)
        for op, argument, _ in pickletools.genops(text):
            if op.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4") or (
                op.name == "GLOBAL" and not TENSORS.fullmatch(str(argument))
            ):
                raise fault
    except (
        zipfile.BadZipFile,
        pickle.UnpicklingError,
        ValueError,
        KeyError,
        EOFError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise fault from error


def _program(program: Any, file: str) -> None:
    for key, value in _texts(program):
        if key == "target" and value.startswith(EVALUATED):
            found = TARGET.fullmatch(value)
            if not found or found["op"] in FILES:
                raise InputError(f"{CANNOT} The program in {file} calls {value!a}, which is no operator of a model.")
        elif key == "expr_str":
            if not _arithmetic(value):
                raise InputError(f"{CANNOT} The program in {file} has the size {value!a}, which is no arithmetic.")
        elif key == "guards_code" and not _arithmetic(value):
            raise InputError(f"{CANNOT} The program in {file} has the guard {value!a}, which is no condition on sizes.")
        elif key in ("in_spec", "out_spec") and (not PLAIN_SPEC.fullmatch(value) or "default_factory" in value):
            raise InputError(f"{CANNOT} The program in {file} has arguments of a kind that no model needs.")
        elif key not in SKIPPED and not PLAIN_NAME.fullmatch(value):
            raise InputError(f"{CANNOT} The program in {file} has the name {ascii(value)[:80]}, which is none.")


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a JSON value with the key it stands under; a list's texts have the list's."""
    left = [(key, value)]
    while left:
        key, value = left.pop()
        if isinstance(value, str):
            yield key, value
        elif isinstance(value, list):
            left += [(key, item) for item in value]
        elif isinstance(value, dict):
            for name, item in value.items():
                yield "name", name
                if name != "metadata":
                    left.append((name, item))


def _arithmetic(text: str) -> bool:
    """Whether a text is arithmetic on symbols, or on sizes of the arguments such as L['x'].size()[0], and nothing else."""
    try:
        return all(map(_harmless, ast.walk(ast.parse(text.strip(), mode="eval"))))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _harmless(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        called = node.func
        if isinstance(called, ast.Name):
            return called.id in ARITHMETIC
        return isinstance(called, ast.Attribute) and called.attr in METHODS | FUNCTIONS
    if isinstance(node, ast.keyword):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, bool)
    if isinstance(node, ast.Attribute):
        of_math = isinstance(node.value, ast.Name) and node.value.id == "math"
        return node.attr in FUNCTIONS if of_math else node.attr in METHODS | {"shape"}
    if isinstance(node, ast.Name):
        return node.id in ARITHMETIC | {"L", "math", "oo", "int_oo"} or bool(re.fullmatch(r"[a-z]{1,3}\d+", node.id))
    if isinstance(node, ast.Constant):
        plain = isinstance(node.value, int | float | bool)
        return plain or (isinstance(node.value, str) and bool(re.fullmatch(r"\w+", node.value)))
    return isinstance(node, SYNTAX)
