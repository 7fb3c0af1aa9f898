"""Writes mxnet_golden.npz: what MXNet 1.9.1 itself computes for the networks of mxnet_zoo.py.

Run it in an environment of its own: `pip install mxnet==1.9.1 numpy==1.26.4`, then `python tests/models/mxnet_golden.py`.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent


PLAIN = ("pose",)  # MXNet's oneDNN path has no primitive for grouped deconvolution


def compute(names: list[str]) -> None:
    """Run the named networks in this process and write <first name>.npz."""
    for name in ("bool", "int", "float", "object", "complex", "str"):  # MXNet 1.9.1 still uses numpy's old names
        if name not in np.__dict__:
            setattr(np, name, getattr(__import__("builtins"), name))
    import mxnet

    sys.path.insert(0, str(HERE.parent))
    from models import mxnet_zoo

    found: dict[str, np.ndarray] = {}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            text = mxnet_zoo.MODELS[name](Path(folder))
            symbol_file, params_file = next(Path(folder).glob("*.json")), next(Path(folder).glob("*.params"))
            shapes = {k: tuple(v) for k, v in ast.literal_eval(text or "{}").items() if not k.endswith("label")}
            inputs = {k: mxnet.nd.array(v) for k, v in mxnet_zoo.feeds(shapes).items()}
            symbol = mxnet.sym.load(str(symbol_file))
            params = mxnet.nd.load(str(params_file))
            labels = {n: mxnet.nd.zeros((1,)) for n in symbol.list_arguments() if n.endswith("label")}
            args = {k[4:]: v for k, v in params.items() if k.startswith("arg:")} | inputs | labels
            aux = {k[4:]: v for k, v in params.items() if k.startswith("aux:")}
            executor = symbol.bind(mxnet.cpu(), args, aux_states=aux, grad_req="null")
            for position, value in enumerate(executor.forward(is_train=False)):
                found[f"{name}/{position}"] = value.asnumpy().astype(np.float32)
            print(name, [v.shape for k, v in found.items() if k.startswith(name + "/")], flush=True)
    np.savez(f"{names[0]}.npz", **found)


def main() -> None:
    sys.path.insert(0, str(HERE.parent))
    from models import mxnet_zoo

    found: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder:
        for names, dnn in (([n for n in mxnet_zoo.MODELS if n not in PLAIN], "1"), (list(PLAIN), "0")):
            more = {
                "MXNET_MKLDNN_ENABLED": dnn,
                "MXNET_SUBGRAPH_BACKEND": "NONE",
                "MXNET_STORAGE_FALLBACK_LOG_VERBOSE": "0",
            }
            subprocess.run([sys.executable, __file__, *names], env=os.environ | more, cwd=folder, check=True)
            found |= dict(np.load(Path(folder) / f"{names[0]}.npz"))
    np.savez_compressed(HERE / "mxnet_golden.npz", **found)


if __name__ == "__main__":
    compute(sys.argv[1:]) if sys.argv[1:] else main()
