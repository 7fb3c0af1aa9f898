"""The engine of ncnn networks: numpy and the ncnn library, on the CPU or on the first GPU, else the first Vulkan device."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

CPU_DEVICE = 3  # ncnn's name for VK_PHYSICAL_DEVICE_TYPE_CPU


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
            self._net.set_vulkan_device((_gpus(ncnn) or [0])[0])
        if self._net.load_param(str(folder / settings["param"])) or self._net.load_model(str(folder / settings["bin"])):
            raise RuntimeError("ncnn cannot load the network")

    @staticmethod
    def missing(settings: Mapping[str, Any]) -> str | None:
        """Why this machine should not run such a network by itself: it asks for a GPU, and there is none."""
        import ncnn  # noqa: F401  its absence is told as such

        if settings["vulkan"] and not _look():
            return "this machine has no GPU with a Vulkan driver."
        return None

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


def _look() -> bool:
    """Whether there is a GPU, asked in a process of its own: a driver that fails must not end this one."""
    code = "import ncnn, neo_cli.runtime.engines.ncnn as e; print('gpus', len(e._gpus(ncnn)))"
    try:
        asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0 and asked.stdout.split()[-2:] not in ([], ["gpus", "0"])


def _gpus(ncnn: Any) -> list[int]:
    """The Vulkan devices that are GPUs; a driver that computes on the CPU, such as lavapipe, is none."""
    return [i for i in range(ncnn.get_gpu_count()) if ncnn.get_gpu_info(i).type() != CPU_DEVICE]
