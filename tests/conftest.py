"""What all tests share: a busy machine fails no Hypothesis test; where everything is installed (NEO_CI), nothing that needs it is skipped."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# The suite draws the same examples every time: a run that fails can be repeated, one that passed has said so of all others.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.load_profile("busy")

NEEDED = ("real_model", "emulation")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked `long` run only when the command says so: `pytest -m long`."""
    if "long" in (config.option.markexpr or ""):
        return
    left = [item for item in items if item.get_closest_marker("long")]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skipped test of a real model or under emulation is a failure where NEO_CI says that all of it is there."""
    report = yield
    if (
        report.skipped
        and os.environ.get("NEO_CI")
        and any(item.get_closest_marker(name) for name in NEEDED)
        and not hasattr(report, "wasxfail")
    ):
        report.outcome = "failed"
        report.longrepr = (
            f"{item.nodeid} was skipped, and NEO_CI allows no skip of {' or '.join(NEEDED)}: {report.longrepr}"
        )
    return report
