"""Write skeletons/frameworks and skeletons/targets: filled-in CreateCompilationJob requests, as JSON and as YAML.

usage: python docs/tools/make_examples.py [--check]

The JSON files are requests as AWS takes them. The YAML files hold objects where the API wants JSON in a string, which
neo-cli accepts on both engines.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "skeletons"
ROLE = "arn:aws:iam::123456789012:role/Neo"

# name: (Framework, FrameworkVersion or None, DataInputConfig, the archive holds, remark)
FRAMEWORKS: dict[str, tuple[str, str | None, Any, str]] = {
    "tensorflow": ("TENSORFLOW", "2.9", {"input_1": [1, 224, 224, 3]}, "a SavedModel folder; shapes are NHWC"),
    "keras": ("KERAS", None, {"input_1": [1, 3, 224, 224]}, "one .h5 file; shapes are NCHW"),
    "mxnet": ("MXNET", "1.8", {"data": [1, 3, 224, 224]}, "one -symbol.json and one .params file"),
    "onnx": ("ONNX", None, {"input": [1, 3, 224, 224]}, "one .onnx file"),
    "pytorch": ("PYTORCH", "1.8", {"input0": [1, 3, 224, 224]}, "one .pth file; inputs go by sorted name"),
    "xgboost": ("XGBOOST", None, None, "one model file; shapes are found in it"),
    "tflite": ("TFLITE", "2.9", {"input": [1, 224, 224, 3]}, "one .tflite file"),
    "darknet": ("DARKNET", None, {"data": [1, 3, 416, 416]}, "one .cfg and one .weights file"),
    "sklearn": ("SKLEARN", None, {"input": [1, 64]}, "one pickled estimator; needs --trust-model on the local engine"),
}

# name: (what OutputConfig says beside S3OutputLocation, remark)
TARGETS: dict[str, tuple[dict[str, Any], str]] = {
    "cloud-x86": ({"TargetDevice": "ml_c5"}, "an Intel server; also ml_m5, ml_c4, ml_m4, lambda"),
    "cloud-graviton": ({"TargetDevice": "ml_c6g"}, "an ARM server; also ml_m6g"),
    "cloud-gpu": ({"TargetDevice": "ml_g4dn"}, "an NVIDIA server; also ml_p2, ml_p3"),
    "cloud-inferentia": (
        {"TargetDevice": "ml_inf2", "CompilerOptions": "--verbose 1 -O2"},
        "AWS's own chip: AWS compiles for it (--engine aws); also ml_inf1, ml_trn1",
    ),
    "jetson": (
        {
            "TargetDevice": "jetson_xavier",
            "CompilerOptions": {"gpu-code": "sm_72", "trt-ver": "5.1.6", "cuda-ver": "10.0"},
        },
        "an NVIDIA board; also jetson_nano, jetson_tx1, jetson_tx2",
    ),
    "arm64": ({"TargetDevice": "rk3399"}, "a 64-bit ARM board; also imx8qm, aisage"),
    "raspberry": (
        {"TargetDevice": "rasp3b", "CompilerOptions": {"mattr": ["+neon"]}},
        "a 32-bit ARM board; also rasp4b, rk3288, sitara_am57x",
    ),
    "x86-edge": ({"TargetDevice": "sbe_c"}, "a small Intel machine; also deeplens"),
    "windows": ({"TargetDevice": "x86_win64"}, "Windows; also x86_win32"),
    "coreml": ({"TargetDevice": "coreml"}, "iOS and macOS"),
    "android-phone": (
        {"TargetDevice": "qcs605", "CompilerOptions": {"ANDROID_PLATFORM": 27}},
        "an Android device; also qcs603",
    ),
    "platform-linux": ({"TargetPlatform": {"Os": "LINUX", "Arch": "ARM64"}}, "any Linux on 64-bit ARM"),
    "platform-linux-nvidia": (
        {
            "TargetPlatform": {"Os": "LINUX", "Arch": "ARM64", "Accelerator": "NVIDIA"},
            "CompilerOptions": {"gpu-code": "sm_62", "trt-ver": "6.0.1", "cuda-ver": "10.2"},
        },
        "Linux on 64-bit ARM with an NVIDIA GPU",
    ),
    "platform-android": (
        {"TargetPlatform": {"Os": "ANDROID", "Arch": "ARM64"}, "CompilerOptions": {"ANDROID_PLATFORM": 29}},
        "any Android on 64-bit ARM",
    ),
}


def request(name: str, source: dict[str, Any], output: dict[str, Any]) -> dict[str, Any]:
    """A whole request."""
    return {
        "CompilationJobName": f"{name}-1",
        "RoleArn": ROLE,
        "InputConfig": source,
        "OutputConfig": {"S3OutputLocation": "s3://my-bucket/compiled/", **output},
        "StoppingCondition": {"MaxRuntimeInSeconds": 900},
    }


def requests() -> dict[str, tuple[dict[str, Any], str]]:
    """Each request by its path without suffix, and a remark."""
    found = {}
    for name, (framework, version, inputs, remark) in FRAMEWORKS.items():
        source = {"S3Uri": f"s3://my-bucket/models/{name}.tar.gz", "DataInputConfig": inputs, "Framework": framework}
        source |= {"FrameworkVersion": version}
        known = {k: v for k, v in source.items() if v is not None}
        found[f"frameworks/{name}"] = request(name, known, {"TargetDevice": "ml_c5"}), f"The archive holds {remark}."
    source = {
        "S3Uri": "s3://my-bucket/models/onnx.tar.gz",
        "DataInputConfig": {"input": [1, 3, 224, 224]},
        "Framework": "ONNX",
    }
    for name, (output, remark) in TARGETS.items():
        found[f"targets/{name}"] = request(name, source, output), f"The target: {remark}."
    return found


def json_text(wanted: dict[str, Any]) -> str:
    """The request as AWS takes it: JSON in strings."""
    plain = {
        key: {k: v if k not in ("DataInputConfig", "CompilerOptions") else json.dumps(v) for k, v in part.items()}
        if isinstance(part, dict)
        else part
        for key, part in wanted.items()
    }
    return json.dumps(plain, indent=4) + "\n"


def yaml_text(wanted: dict[str, Any], remark: str) -> str:
    """The request as people write it."""
    return f"# {remark}\n" + "".join(_lines(wanted, ""))


def _lines(value: dict[str, Any], indent: str) -> list[str]:
    lines = []
    for key, part in value.items():
        if key in ("DataInputConfig", "CompilerOptions") or isinstance(part, list):
            shown = json.dumps(json.dumps(part)) if isinstance(part, str) else json.dumps(part)
            lines.append(f"{indent}{key}: {shown}\n")
        elif isinstance(part, dict):
            lines += [f"{indent}{key}:\n", *_lines(part, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {json.dumps(part) if _reads_as_number(part) else part}\n")
    return lines


def _reads_as_number(part: Any) -> bool:
    return isinstance(part, str) and part.replace(".", "").isdigit()


def main() -> int:
    stale = []
    for name, (wanted, remark) in requests().items():
        for path, text in (
            (FOLDER / f"{name}.json", json_text(wanted)),
            (FOLDER / f"{name}.yaml", yaml_text(wanted, remark)),
        ):
            if "--check" not in sys.argv:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            elif not path.is_file() or path.read_text(encoding="utf-8") != text:
                stale.append(path.name)
    if stale:
        print(f"stale: {', '.join(stale)}; run docs/tools/make_examples.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
