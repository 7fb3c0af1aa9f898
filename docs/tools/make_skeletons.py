"""Write skeletons/api: what --generate-cli-skeleton prints for each operation, made from api/model.json.

usage: python docs/tools/make_skeletons.py [--check]

The YAML files carry a comment a member: [REQUIRED], a few words, the valid values. `--check` writes nothing and fails
when a file differs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from neo_cli.api import shapes
from neo_cli.api.names import kebab
from neo_cli.entry.skeleton import request

FOLDER = Path(__file__).resolve().parents[2] / "skeletons" / "api"

WORDS = {
    "CompilationJobName": "The job's name, unused so far.",
    "RoleArn": "The role that may read the model and write the result.",
    "ModelPackageVersionArn": "A versioned model package, in place of InputConfig.",
    "InputConfig": "The model: where it lies, what made it, its inputs.",
    "S3Uri": "The model as one .tar.gz.",
    "DataInputConfig": "Names and shapes of the inputs, JSON in a string.",
    "Framework": "What the model was made with.",
    "FrameworkVersion": "Its version, such as 1.8.",
    "OutputConfig": "Where the result goes and what it is made for.",
    "S3OutputLocation": "The folder of the result.",
    "TargetDevice": "The device, in place of TargetPlatform.",
    "TargetPlatform": "The platform, in place of TargetDevice.",
    "Os": "The operating system.",
    "Arch": "The processor.",
    "Accelerator": "The GPU or NPU, if any.",
    "CompilerOptions": "Options of the compiler, JSON in a string.",
    "KmsKeyId": "The key that encrypts the result.",
    "VpcConfig": "The network the job may reach.",
    "SecurityGroupIds": "Security groups, sg-1 and so on.",
    "Subnets": "Subnets of the network.",
    "StoppingCondition": "How long the job may take.",
    "MaxRuntimeInSeconds": "Seconds the job may run.",
    "MaxWaitTimeInSeconds": "Seconds from start to end, waiting included.",
    "MaxPendingTimeInSeconds": "Seconds the job may wait for its start.",
    "Tags": "Tags to set.",
    "Key": "The tag's name.",
    "Value": "The tag's value.",
    "TagKeys": "Names of the tags to remove.",
    "ResourceArn": "The ARN of the job.",
    "NextToken": "Where to go on, from the answer before.",
    "MaxResults": "How many at most in one answer.",
    "CreationTimeAfter": "Created later than this.",
    "CreationTimeBefore": "Created earlier than this.",
    "LastModifiedTimeAfter": "Changed later than this.",
    "LastModifiedTimeBefore": "Changed earlier than this.",
    "NameContains": "Part of the name.",
    "StatusEquals": "In this state.",
    "SortBy": "The order; by default the time of creation.",
    "SortOrder": "Which end comes first; by default Ascending.",
}


def yaml_text(operation: str) -> str:
    """The commented YAML skeleton."""
    return "".join(_mapping(shapes.input_shape(operation), "", ""))


def _mapping(shape: dict[str, Any], indent: str, first: str) -> list[str]:
    """The lines of a structure; `first` leads the first line ("- " in a list)."""
    lines = []
    for number, (name, member) in enumerate(shape["members"].items()):
        below = shapes.shape(member["shape"])
        lead = (first or indent) if number == 0 else indent
        value = _scalar(below)
        note = f"{'  ' if number == 0 else ' '}# {_comment(name, below, name in shape.get('required', []))}"
        lines.append(f"{lead}{name}:{' ' + value if value else ''}{note}\n")
        if below["type"] == "structure":
            lines += _mapping(below, indent + "  ", "")
        elif below["type"] == "list":
            item = shapes.shape(below["member"]["shape"])
            structure = item["type"] == "structure"
            lines += _mapping(item, indent + "  ", indent + "- ") if structure else [f"{indent}- {_scalar(item)}\n"]
    return lines


def _scalar(shape: dict[str, Any]) -> str:
    if shape["type"] in ("structure", "list"):
        return ""
    if shape["type"] == "integer":
        return "0"
    if shape["type"] == "timestamp":
        return "1970-01-01 00:00:00"
    return shape["enum"][0] if "enum" in shape else "''"


def _comment(name: str, shape: dict[str, Any], required: bool) -> str:
    parts = ["[REQUIRED]"] if required else []
    parts.append(WORDS[name])
    if "enum" in shape:
        parts.append(f"Valid values are: {', '.join(shape['enum'])}.")
    return " ".join(parts)


def files() -> dict[Path, str]:
    """Every file and its text."""
    found = {}
    for operation in shapes.load()["operations"]:
        found[FOLDER / f"{kebab(operation)}.json"] = json.dumps(request(operation), indent=4) + "\n"
        found[FOLDER / f"{kebab(operation)}.yaml"] = yaml_text(operation)
    return found


def main() -> int:
    stale = []
    for path, text in files().items():
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
    if stale:
        print(f"stale: {', '.join(stale)}; run docs/tools/make_skeletons.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
