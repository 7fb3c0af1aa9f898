"""The engine of ncnn networks: numpy and the ncnn library, on the CPU or on the first Vulkan device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


class Engine:
    """A loaded network; raises RuntimeError when it asks for Vulkan and there is no device, or a layer is unknown."""

    def __init__(self, folder: Path, record: dict[str, Any], threads: int | None = None) -> None:
        import ncnn

        settings = record["settings"]
        self._library, self._inputs, self._outputs = ncnn, record["inputs"], record["outputs"]
        self._net = ncnn.Net()
        if threads:
            self._net.opt.num_threads = threads
        # float16 and bfloat16 storage would trade accuracy for speed behind the check's back
        for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
            setattr(self._net.opt, option, False)
        if settings["vulkan"]:
            if ncnn.get_gpu_count() == 0:
                raise RuntimeError("this machine has no Vulkan device")
            self._net.opt.use_vulkan_compute = True
        if self._net.load_param(str(folder / settings["param"])) or self._net.load_model(str(folder / settings["bin"])):
            raise RuntimeError("ncnn cannot load the network")

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        extractor = self._net.create_extractor()
        for position, tensor in enumerate(self._inputs):
            array = np.ascontiguousarray(inputs[tensor["name"]][0])
            array = array.astype(np.int32 if array.dtype.kind == "i" else np.float32)
            extractor.input(f"in{position}", self._library.Mat(array).clone())
        results = {}
        for position, tensor in enumerate(self._outputs):
            failed, value = extractor.extract(f"out{position}")
            if failed:
                raise RuntimeError(f"ncnn cannot compute the output '{tensor['name']}'")
            results[tensor["name"]] = np.array(value).reshape(tensor["shape"]).astype(tensor["dtype"])
        return results

    def close(self) -> None:
        self._net.clear()
