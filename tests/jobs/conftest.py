"""A service over a memory store with a clock that tests set."""

from __future__ import annotations

from typing import Any

import pytest

from neo_cli.jobs.service import Service
from neo_cli.jobs.stores.memory import MemoryStore

ROLE = "arn:aws:iam::123456789012:role/Neo"


class Clock:
    """Wall time in the test's hand."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(clock: Clock) -> Service:
    return Service(MemoryStore(), clock, "eu-west-1")


def request_for(name: str, **members: Any) -> dict[str, Any]:
    """A valid CreateCompilationJob request; members override, None removes."""
    made = {
        "CompilationJobName": name, "RoleArn": ROLE,
        "InputConfig": {"S3Uri": "file:///m/det.tar.gz", "Framework": "ONNX"},
        "OutputConfig": {"S3OutputLocation": "file:///out", "TargetDevice": "ml_c5"},
        "StoppingCondition": {"MaxRuntimeInSeconds": 900},
    }  # fmt: skip
    return {k: v for k, v in {**made, **members}.items() if v is not None}
