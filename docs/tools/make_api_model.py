"""Cut api/model.json out of botocore's SageMaker service model: the eight operations neo-cli serves.

usage: python docs/tools/make_api_model.py [--check]

Keeps the shapes reachable from the operations, in the model's own order, with the first sentence of each
documentation text (tags removed). `--check` only says whether the file equals what would be written.
"""

from __future__ import annotations

import html
import json
import re
import sys
from pathlib import Path
from typing import Any

OPERATIONS = (
    "CreateCompilationJob", "DescribeCompilationJob", "ListCompilationJobs", "StopCompilationJob",
    "DeleteCompilationJob", "AddTags", "ListTags", "DeleteTags",
)  # fmt: skip
TARGET = Path(__file__).resolve().parents[2] / "cli" / "neo_cli" / "api" / "model.json"


def first_sentence(documentation: str) -> str:
    """The first sentence of a documentation text, without tags, in one line."""
    text = html.unescape(re.sub(r"<[^>]+>", "", documentation))
    text = re.sub(r"\s+", " ", text).strip()
    return re.split(r"(?<=[.:!?])\s", text)[0]


def reachable(shapes: dict[str, Any], start: list[str]) -> set[str]:
    """Names of all shapes that `start` refers to, itself included."""
    found: set[str] = set()
    while start:
        name = start.pop()
        if name in found:
            continue
        found.add(name)
        shape = shapes[name]
        start += [m["shape"] for m in shape.get("members", {}).values()]
        start += [shape[k]["shape"] for k in ("member", "key", "value") if k in shape]
    return found


def trim(value: Any) -> Any:
    """The same with every documentation text cut to its first sentence."""
    if isinstance(value, dict):
        return {
            k: first_sentence(v) if k == "documentation" and isinstance(v, str) else trim(v) for k, v in value.items()
        }
    return [trim(v) for v in value] if isinstance(value, list) else value


def build() -> str:
    """The text of model.json."""
    import botocore.session

    loader = botocore.session.get_session().get_component("data_loader")
    service = loader.load_service_model("sagemaker", "service-2")
    paginators = loader.load_service_model("sagemaker", "paginators-1")["pagination"]
    operations = {name: service["operations"][name] for name in OPERATIONS}
    start = [o[k]["shape"] for o in operations.values() for k in ("input", "output") if k in o]
    start += [e["shape"] for o in operations.values() for e in o.get("errors", [])]
    wanted = reachable(service["shapes"], start)
    model = {
        "version": service["version"],
        "metadata": service["metadata"],
        "operations": trim(operations),
        "shapes": {name: trim(shape) for name, shape in service["shapes"].items() if name in wanted},
        "pagination": {name: paginators[name] for name in OPERATIONS if name in paginators},
    }
    return json.dumps(model, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    text = build()
    if "--check" in sys.argv:
        same = TARGET.is_file() and TARGET.read_text(encoding="utf-8") == text
        print("api/model.json equals botocore's model" if same else "api/model.json differs from botocore's model")
        return 0 if same else 1
    TARGET.write_text(text, encoding="utf-8")
    print(f"{TARGET}: {len(text)} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
