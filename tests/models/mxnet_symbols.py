"""Writes symbol.json and .params files as MXNet does, with numpy only."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np


class Sym:
    """A symbol under construction; values are (node, output) pairs."""

    def __init__(self, seed: int = 11) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[dict] = []
        self.params: dict[str, np.ndarray] = {}
        self.count = 0

    def var(self, name: str, **attrs: str) -> list[int]:
        self.nodes.append({"op": "null", "name": name, "inputs": []} | ({"attrs": attrs} if attrs else {}))
        return [len(self.nodes) - 1, 0, 0]

    def param(self, stem: str, array: np.ndarray, kind: str = "arg") -> list[int]:
        self.count += 1
        name = f"{stem}{self.count}"
        self.params[f"{kind}:{name}"] = array.astype(array.dtype if array.dtype != np.float64 else np.float32)
        return self.var(name)

    def op(self, kind: str, *inputs: list[int], **attrs: object) -> list[int]:
        self.count += 1
        node = {"op": kind, "name": f"{kind.lower().strip('_')}{self.count}", "inputs": [list(i) for i in inputs]}
        if attrs:
            node["attrs"] = {k: str(v) for k, v in attrs.items()}
        self.nodes.append(node)
        return [len(self.nodes) - 1, 0, 0]

    def normal(self, *shape: int, scale: float = 1.0) -> np.ndarray:
        return self.random.standard_normal(shape) * scale

    def conv(
        self,
        x: list[int],
        cin: int,
        cout: int,
        k: int = 3,
        stride: int = 1,
        groups: int = 1,
        bias: bool = False,
        dilate: int = 1,
    ) -> list[int]:
        w = self.param("weight", self.normal(cout, cin // groups, k, k, scale=(1.8 / (cin // groups * k * k)) ** 0.5))
        more = [self.param("bias", self.normal(cout, scale=0.1))] if bias else []
        pad = dilate * (k - 1) // 2
        return self.op(
            "Convolution", x, w, *more, kernel=(k, k), stride=(stride, stride), pad=(pad, pad), dilate=(dilate, dilate),
            num_filter=cout, num_group=groups, no_bias=not bias, layout="NCHW",
        )  # fmt: skip

    def norm(self, x: list[int], n: int, **attrs: object) -> list[int]:
        four = [
            self.param("gamma", 1 + self.normal(n, scale=0.1)),
            self.param("beta", self.normal(n, scale=0.1)),
            self.param("running_mean", self.normal(n, scale=0.1), "aux"),
            self.param("running_var", self.random.uniform(0.6, 1.4, n), "aux"),
        ]
        return self.op("BatchNorm", x, *four, **({"eps": 1e-5, "fix_gamma": False} | attrs))

    def act(self, x: list[int], kind: str = "relu") -> list[int]:
        return self.op("Activation", x, act_type=kind)

    def block(self, x: list[int], cin: int, cout: int, k: int = 3, stride: int = 1, groups: int = 1) -> list[int]:
        return self.act(self.norm(self.conv(x, cin, cout, k, stride, groups), cout))

    def dense(self, x: list[int], cin: int, cout: int, flatten: bool = True) -> list[int]:
        w = self.param("weight", self.normal(cout, cin, scale=cin**-0.5))
        b = self.param("bias", self.normal(cout, scale=0.1))
        return self.op("FullyConnected", x, w, b, num_hidden=cout, no_bias=False, flatten=flatten)

    def pool(self, x: list[int], kind: str = "max", k: int = 2, stride: int = 2, **attrs: object) -> list[int]:
        return self.op("Pooling", x, kernel=(k, k), stride=(stride, stride), pool_type=kind, **attrs)

    def mean(self, x: list[int]) -> list[int]:
        return self.op("Pooling", x, kernel=(1, 1), global_pool=True, pool_type="avg")

    def write(self, folder: Path, *heads: list[int], name: str = "net") -> None:
        arguments = [i for i, n in enumerate(self.nodes) if n["op"] == "null"]
        text = {
            "nodes": self.nodes,
            "arg_nodes": arguments,
            "node_row_ptr": list(range(len(self.nodes) + 1)),
            "heads": [list(h) for h in heads],
            "attrs": {"mxnet_version": ["int", 10901]},
        }
        (folder / f"{name}-symbol.json").write_text(json.dumps(text, indent=1), encoding="utf-8")
        (folder / f"{name}-0000.params").write_bytes(pack(self.params))


CODES = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6}


def pack(params: dict[str, np.ndarray], version: int = 2) -> bytes:
    """A .params file: version 2 (since MXNet 0.12), 1, or 0 (before 0.11)."""
    out = [struct.pack("<QQQ", 0x112, 0, len(params))]
    for array in params.values():
        if version == 2:
            out.append(struct.pack(f"<Iii{array.ndim}q", 0xF993FAC9, 0, array.ndim, *array.shape))
        elif version == 1:
            out.append(struct.pack(f"<II{array.ndim}q", 0xF993FAC8, array.ndim, *array.shape))
        else:
            out.append(struct.pack(f"<I{array.ndim}I", array.ndim, *array.shape))
        out.append(struct.pack("<iii", 1, 0, CODES[array.dtype.name]))
        out.append(np.ascontiguousarray(array).tobytes())
    out.append(struct.pack("<Q", len(params)))
    for name in params:
        out.append(struct.pack("<Q", len(name)) + name.encode())
    return b"".join(out)
