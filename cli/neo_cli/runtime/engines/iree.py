"""The engine of IREE modules: numpy and iree.runtime, on the CPU or on a CUDA device."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


class Engine:
    """A loaded module; `settings` of the record name the file, the driver and the function."""

    def __init__(self, folder: Path, record: dict[str, Any], threads: int | None = None) -> None:
        import iree.runtime as rt

        settings = record["settings"]
        flags = [f"--task_topology_max_group_count={threads}"] if threads and settings["driver"] == "local-task" else []
        if flags:
            rt.flags.parse_flags(*flags)
        config = rt.Config(settings["driver"])
        module = rt.VmModule.mmap(config.vm_instance, str(folder / settings["module"]))
        self._function = rt.load_vm_module(module, config)[settings["function"]]
        self._inputs = [t["name"] for t in record["inputs"]]
        self._outputs = [(t["name"], np.dtype(t["dtype"])) for t in record["outputs"]]

    @staticmethod
    def missing(settings: Mapping[str, Any]) -> str | None:
        """Why this machine cannot run such a module: its driver finds no device."""
        import iree.runtime as rt

        try:
            found = rt.get_driver(settings["driver"]).query_available_devices()
        except RuntimeError:  # the driver's own library, such as libcuda, is not here
            found = []
        return None if found else f"this machine has no device for {settings['driver']}."

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        results = self._function(*(inputs[name] for name in self._inputs))
        values = results if isinstance(results, tuple | list) else (results,)
        return {
            name: np.asarray(value).astype(dtype, copy=False)
            for (name, dtype), value in zip(self._outputs, values, strict=True)
        }

    def close(self) -> None:
        self._function = None
