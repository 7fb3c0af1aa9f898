"""CompilerOptions: what a request may say about code generation, checked and normalised.

Both forms of the API's documentation are understood: JSON, and single-quoted pseudo-JSON such as
`{'mattr': ['+neon']}`; for the Inferentia targets a JSON string of command-line flags. Keys are compared in lower
case with '-' read as '_'. Nothing here ever reaches a shell: values are checked against narrow patterns.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from neo_cli.base.errors import ValidationException
from neo_cli.targets.devices import Target

Check = Callable[[Any], Any]


def _pattern(pattern: str, example: str) -> Check:
    def check(value: Any) -> Any:
        text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
        if not isinstance(text, str) or not re.fullmatch(pattern, text):
            raise ValueError(f"expected a value such as {example}")
        return text

    return check


def _integer(low: int, high: int) -> Check:
    def check(value: Any) -> int:
        if isinstance(value, str) and value.isdigit():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"expected an integer from {low} to {high}")
        return value

    return check


def _one_of(*choices: str) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or value.lower() not in choices:
            raise ValueError("expected one of " + ", ".join(choices))
        return value.lower()

    return check


def _features(value: Any) -> list[str]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list) or not items:
        raise ValueError("expected a list of CPU features such as ['+neon']")
    for item in items:
        if not isinstance(item, str) or not re.fullmatch(r"[+-][A-Za-z0-9_.-]{1,40}", item):
            raise ValueError(f"expected features such as '+neon', not {item!r}")
    return items


def _names(value: Any) -> list[str]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not items or not all(isinstance(v, str) and v for v in items):
        raise ValueError("expected a list of tensor names")
    return items


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("expected a non-empty string")
    return value


def _file(value: Any) -> str:
    if not isinstance(value, str) or not value or value.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", value):
        raise ValueError("expected the name of a file inside the input archive")
    return value


def _gate(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ValueError("expected a number above 0 and at most 1")
    return float(value)


def _switch(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false", "on", "off", "1", "0"):
        return value.lower() in ("true", "on", "1")
    raise ValueError("expected true or false")


_GPU = _pattern(r"sm_\d{2,3}[a-z]?", "'sm_62'")
_VERSION = _pattern(r"\d{1,3}(\.\d{1,3}){1,3}", "'10.2'")

# AWS's keys, then ours; each is one line.
OPTIONS: Mapping[str, Check] = {
    "dtype": _one_of("float", "float32", "int64", "long", "float16", "uint8", "int8", "int32"),
    "mcpu": _pattern(r"[A-Za-z0-9_.-]{1,40}", "'core-avx2'"),
    "mattr": _features,
    "neon": _switch,
    "gpu_code": _GPU,
    "trt_ver": _VERSION,
    "cuda_ver": _VERSION,
    "jetpack_version": _VERSION,
    "android_platform": _integer(16, 40),
    "class_labels": _file,
    "signature_def_key": _text,
    "output_names": _names,
    "platform": _pattern(r"[A-Za-z0-9_]{1,20}", "'AL2012'"),
    "backend": _pattern(r"[a-z0-9_]{1,20}", "'native'"),
    "precision": _one_of("float32", "bfloat16", "auto"),
    "gate": _gate,
    "boxes": _switch,
    "winograd": _one_of("auto", "off", "2", "4"),
    "bands": _one_of("auto", "off"),
    "check_all": _switch,
    "embed_weights": _switch,
}
NVIDIA_REQUIRED = ("gpu_code", "trt_ver", "cuda_ver")
_FLAGS = re.compile(r"[-A-Za-z0-9_=.,:/ ]*")


def parse_options(text: str | None, target: Target | None, *, platform: bool = False) -> dict[str, Any]:
    """The options by normalised key; `{"flags": "..."}` for an Inferentia flag string.

    `platform` says that the request named a TargetPlatform: NVIDIA there requires gpu-code, trt-ver and cuda-ver
    (API reference, OutputConfig). Raises ValidationException with one sentence.
    """
    value = {} if text is None else _load(text)
    if isinstance(value, str):
        if target is None or target.plugin not in ("neuron-cc", "neuronx-cc"):
            raise ValidationException(
                "CompilerOptions must be a JSON object for this target; a string of flags is for ml_inf1, ml_inf2 and ml_trn1."
            )
        if not _FLAGS.fullmatch(value):
            raise ValidationException("CompilerOptions: the flags may hold letters, digits and -_=.,:/ only.")
        return {"flags": value}
    if not isinstance(value, dict):
        raise ValidationException("CompilerOptions must be a JSON object.")
    options: dict[str, Any] = {}
    for key, item in value.items():
        name = str(key).lower().replace("-", "_")
        if name not in OPTIONS:
            raise ValidationException(
                f"CompilerOptions: unknown key '{key}'. Known keys: {', '.join(_shown(k) for k in OPTIONS)}."
            )
        if name in options:
            raise ValidationException(f"CompilerOptions: the key '{key}' is given twice.")
        if name == "gpu_code" and isinstance(item, list) and len(item) == 1:
            item = item[0]  # the API's prose calls it a list
        try:
            options[name] = OPTIONS[name](item)
        except ValueError as fault:
            raise ValidationException(f"CompilerOptions: '{key}': {fault}.") from None
    missing = [_shown(k) for k in NVIDIA_REQUIRED if k not in options]
    if platform and target is not None and target.accelerator == "NVIDIA" and missing:
        raise ValidationException(
            f"CompilerOptions: {', '.join(missing)} must be given when TargetPlatform's Accelerator is NVIDIA."
        )
    return options


def _shown(key: str) -> str:
    return {"gpu_code": "gpu-code", "trt_ver": "trt-ver", "cuda_ver": "cuda-ver"}.get(
        key, key.upper() if key in ("neon", "jetpack_version", "android_platform", "platform") else key
    )


def _load(text: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        pass
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise ValidationException("CompilerOptions is neither JSON nor the documented single-quoted form.") from None


def meanings(options: Mapping[str, Any], target: Target) -> list[str]:
    """What options for a device's own software mean for what is made here, one sentence each, for the report."""
    told = []
    if "android_platform" in options:
        told.append(
            f"ANDROID_PLATFORM {options['android_platform']}: the library calls nothing of Android's, so it needs no "
            "particular version."
        )
    if "jetpack_version" in options:
        told.append(f"JETPACK_VERSION {options['jetpack_version']}: only the GPU's driver of it is used.")
    if "trt_ver" in options:
        told.append(f"trt-ver {options['trt_ver']}: TensorRT is not used.")
    if "cuda_ver" in options:
        told.append(f"cuda-ver {options['cuda_ver']}: the GPU code is PTX, which the GPU's own driver compiles.")
    if "gpu_code" in options and target.gpu_arch and options["gpu_code"] != target.gpu_arch:
        told.append(f"gpu-code {options['gpu_code']}: {target.name} has {target.gpu_arch}.")
    if options.get("mcpu") == "generic" and target.arch != "x86_64":
        told.append("mcpu generic: the code is the target's own baseline.")
    if "neon" in options and target.arch not in ("armhf", "armel"):
        told.append(f"NEON: every {target.arch} processor has it or has something else; it changes nothing.")
    return told
