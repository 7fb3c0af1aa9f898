"""PyTorch files are programs: what reaches outside is refused by name before torch opens them, honest ones pass."""

from __future__ import annotations

import importlib.util
import io
import json
import pickle
import re
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

from neo_cli.base.errors import InputError
from neo_cli.frontends.pytorch_file import kind
from neo_cli.frontends.pytorch_guard import FILES, NAMESPACES, NETWORK, refuse_code

HEAD = "class S(Module):\n  save : List[int]\n  def forward(self: __torch__.S,\n    x: Tensor) -> Tensor:\n"
HONEST = (
    HEAD
    + '    _0 = getattr(self, "0")\n    save = self.save\n    # torch.save(x, "f")\n    y = torch.add(x, 1)\n    print("torch.save(x)")\n    return y\n'
)
SCRIPTS = {
    "save": 'torch.save(x, "f")',
    "from_file": 'torch.from_file("/etc/passwd", False, 9)',
    "as an operator": 'ops.aten.save(x, "f")',
    "as a method": 'x.save("f")',
    "of a text": '"/etc/passwd".from_file(False, 9)',
    "over two lines": 'torch.\\\n  save(x, "f")',
    "behind a comment": '(torch. # no\n save)(x, "f")',
    "as a value": "f = x.save",
    "by another name": 't = torch\n    t.sort(x, "f")',
    "of another namespace by another name": 't = ops\n    t.aten.sort(x, "f")',
    "by getattr": 'getattr(torch, "save")(x, "f")',
    "by getattr of a value": 'getattr(x, "save")("f")',
    "by getattr, spelt": 'getattr(x, "\\x73ave")("f")',
    "by getattr, in pieces": 'getattr(x, "sa" "ve")("f")',
    "by getattr, from a value": "getattr(x, y)",
    "self is another": "self = x\n    f = self.save",
    "the network": 'ops.prim.rpc_sync("w", f, ())',
    "collectives": "ops.c10d.send(x, 1)",
    "a class that does": "__torch__.torch.classes.dist_c10d.Store()",
}


def torchscript(folder: Path, code: str, name: str = "code/__torch__.py") -> Path:
    with zipfile.ZipFile(folder / "model.pth", "w") as archive:
        for member, data in {"data.pkl": b"", "constants.pkl": b"", name: code}.items():
            archive.writestr(f"model/{member}", data)
    return folder / "model.pth"


@pytest.mark.parametrize("script", SCRIPTS)
def test_operators_that_reach_outside_are_refused(script: str, tmp_path: Path) -> None:
    code = HEAD + f"    {SCRIPTS[script]}\n    return x\n"
    for name in ("code/__torch__.py", "code/__torch__/deep/in.py", "CODE/__torch__.PY", "code/without_suffix"):
        with pytest.raises(InputError, match=r"The program in model\.pth (uses|asks)"):
            refuse_code(torchscript(tmp_path, code, name), "torchscript")


def test_an_honest_script_passes(tmp_path: Path) -> None:
    path = torchscript(tmp_path, HONEST)
    assert kind(path) == "torchscript"
    refuse_code(path, "torchscript")


def test_every_operator_of_torch_that_takes_a_file_is_known() -> None:
    pytest.importorskip("torch")
    inside = {"aten", "prim", "prims", "quantized", "_quantized", "quantization", "mkldnn", "mkldnn_prepacked", "mkl", "onednn", "sparse", "static_runtime",
              "onnx", "xnnpack", "_test", "export", "inductor_prims", "rngprims", "debug_mode_ops", "torchvision"}  # fmt: skip
    # In a process of its own: what other tests import registers operators, too.
    code = (
        "import json, torch; print(json.dumps([[s.name, ' '.join(a.name for a in s.arguments if 'str' in str(a.type))]"
        " for s in torch._C._jit_get_all_schemas()]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    schemas: list[tuple[str, str]] = json.loads(done.stdout)
    assert len(schemas) > 2000
    takes, elsewhere = set(), set()
    for schema, texts in schemas:
        space, name = schema.split("::")
        if space in NAMESPACES:
            continue
        if re.search(r"(file|path|url|host|addr|directory)\w*\b", texts):
            takes.add(name)
        if "rpc" in name:
            takes.add(name)
        if space not in inside and not space.startswith("_native"):
            elsewhere.add(space)
    assert takes == FILES | NETWORK and elsewhere == set()


def tensors() -> bytes:
    """What torch.save writes for example inputs, as far as the guard looks."""
    return packed(b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01.")


def packed(pickled: bytes, **more: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in {
            "archive/data.pkl": pickled,
            **{f"archive/{k.replace('__', '.')}": v for k, v in more.items()},
        }.items():
            archive.writestr(name, data)
    return stream.getvalue()


def program(**changes: Any) -> dict[str, Any]:
    node = {
        "target": "torch.ops.aten.add.Tensor",
        "inputs": [{"name": "self", "arg": {"as_tensor": {"name": "x"}}}],
        "metadata": {"stack_trace": "f(\"'\n"},
    }
    graph = {
        "nodes": [{**node, **changes.pop("node", {})}],
        "sym_int_values": {"s0": {"as_expr": {"expr_str": "Add(Symbol('s7', positive=True), Integer(1))"}}},
    }
    made = {
        "graph_module": {"graph": graph, "in_spec": '[1, {"type": "builtins.tuple", "context": "[\\"x\\"]"}]'},
        "guards_code": ["L['x'].size()[0] <= 512"],
    }
    return {**made, **changes}


def exported(folder: Path, model: Any = None, **members: bytes | str) -> Path:
    config = json.dumps({"config": {"w": {"path_name": "weight_0", "use_pickle": False}}})
    plain: dict[str, Any] = {
        "archive_format": "pt2", "archive_version": "0", "models/model.json": json.dumps(program() if model is None else model),
        "data/weights/model_weights_config.json": config, "data/weights/weight_0": b"1234", "data/sample_inputs/model.pt": tensors(),
        "data/constants/model_constants_config.json": '{"config": {}}',
    }  # fmt: skip
    with zipfile.ZipFile(folder / "model.pt2", "w") as archive:
        for name, data in {**plain, **members}.items():
            archive.writestr(f"model/{name}", data)
    return folder / "model.pt2"


def test_an_honest_program_passes(tmp_path: Path) -> None:
    assert kind(exported(tmp_path)) == "exported"
    refuse_code(exported(tmp_path), "exported")


PICKLED = json.dumps({"config": {"w": {"path_name": "weight_0", "use_pickle": True}}})
OBJECT = json.dumps({"config": {"w": {"path_name": "custom_obj_0", "use_pickle": False}}})
SPEC = {
    "graph_module": {
        "in_spec": '[1, {"type": "collections.defaultdict", "context": "{\\"default_factory_module\\": \\"os\\"}"}]'
    }
}
PROGRAMS = {
    "a target below torch": (program(node={"target": "torch.os.system"}), "calls 'torch.os.system'"),
    "a target of operator": (program(node={"target": "_operator.attrgetter"}), "calls '_operator.attrgetter'"),
    "a file": (program(node={"target": "torch.ops.aten.from_file.default"}), "calls"),
    "a library": (program(node={"target": "torch.ops.load_library"}), "calls"),
    "an extension": (program(node={"target": "#ext:x"}), "calls"),
    "a size that runs": ({"a": {"expr_str": "__import__('os').system('id')"}}, "is no arithmetic"),
    "a size that calls": ({"a": {"expr_str": "eval(chr(49))"}}, "is no arithmetic"),
    "a size through an attribute": ({"a": {"expr_str": "Symbol('s0').func.mro()"}}, "is no arithmetic"),
    "a guard that runs": (program(guards_code=["__import__('os').system('id') == 0"]), "is no condition"),
    "a guard that leaves its text": (program(guards_code=["L['x'].size()[0] == '\") or f(\"'"]), "is no condition"),
    "a name that is code": (
        program(node={"outputs": [{"as_tensor": {"name": "x=__import__('os').system('id')"}}]}),
        "has the name",
    ),
    "a key that is code": (program(constants={'a"): f(': 1}), "has the name"),
    "arguments that import": (program(**SPEC), "arguments of a kind"),
    "arguments that are code": ({"in_spec": '[1, {"context": "[\\"x=f()\\"]"}]'}, "arguments of a kind"),
}


@pytest.mark.parametrize("attack", PROGRAMS)
def test_what_torch_would_evaluate_is_refused(attack: str, tmp_path: Path) -> None:
    model, words = PROGRAMS[attack]
    with pytest.raises(InputError, match=r"The program in model\.pt2 .*" + words):
        refuse_code(exported(tmp_path, model), "exported")


MEMBERS: dict[str, dict[str, bytes | str]] = {
    "pickled weights": {"data/weights/model_weights_config.json": PICKLED},
    "pickled constants": {"data/constants/model_constants_config.json": PICKLED.replace("weight_0", "tensor_0")},
    "custom objects": {"data/constants/model_constants_config.json": OBJECT},
    "opaque objects": {"data/constants/opaque_obj_0": b"x"},
    "weights of the old form": {"data/weights/model.pt": packed(pickle.dumps(1, 2))},
    "a compiled library": {"data/aotinductor/model/x.so": b"\x7fELF"},
    "the older format": {"serialized_state_dict.pt": b"x"},
    "examples with code": {"data/sample_inputs/model.pt": packed(b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R.")},
    "examples with code from the stack": {"data/sample_inputs/model.pt": packed(pickle.dumps(OrderedDict, 4))},
    "examples in no zip": {"data/sample_inputs/model.pt": b"\x80\x02N."},
    "a program among the examples": {"data/sample_inputs/model.pt": packed(b"\x80\x02N.", constants__pkl=b"x")},
    "two pickles": {"data/sample_inputs/model.pt": packed(b"\x80\x02N.", DATA__PKL=b"x")},
}


@pytest.mark.parametrize("attack", MEMBERS)
def test_what_torch_would_unpickle_or_load_is_refused(attack: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"may hold code|only tensors are loaded|no part of an exported program"):
        refuse_code(exported(tmp_path, **MEMBERS[attack]), "exported")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch warns of its own exporter
def test_what_torch_exports_and_scripts_passes(tmp_path: Path) -> None:
    """Sizes that are free, dictionaries, buffers and constants; and a module with a list called save, as YOLO has."""
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    import torch

    class Free(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.constant, self.save = torch.nn.Linear(8, 8), torch.ones(8), [1, 2]
            self.register_buffer("held", torch.ones(3))

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            size = x.shape[0]
            y = self.inner(x) + self.constant * size
            if 1 in self.save:
                y = y * 2
            return {"a": y.reshape(-1, 4)[: (size * 2 + 1)], "b": y.sum() + self.held[0]}

    size = torch.export.Dim("batch", min=2, max=512)
    made = torch.export.export(Free(), (torch.ones(6, 8),), dynamic_shapes={"x": {0: size}})
    torch.export.save(made, tmp_path / "model.pt2")
    refuse_code(tmp_path / "model.pt2", "exported")
    torch.jit.script(Free()).save(str(tmp_path / "model.pth"))
    refuse_code(tmp_path / "model.pth", "torchscript")
