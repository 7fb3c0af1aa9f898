"""`neo-cli targets`: every TargetDevice and documented platform cell, and what the local engine makes for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from neo_cli.entry.context import Context
    from neo_cli.targets.devices import Target


@click.command("targets")
@click.argument("name", required=False)
@click.pass_obj
def command(context: Context, name: str | None) -> None:
    """Every target and what the local engine makes for it (ours, not AWS's).

    \b
    Examples:
      neo-cli targets --output table
      neo-cli targets rasp4b
      neo-cli targets --query "Targets[?Accelerator=='NVIDIA'].Name" --output text
    """
    from neo_cli.base.errors import UsageError
    from neo_cli.entry.output import emit
    from neo_cli.targets.devices import targets

    known = targets()
    if name is not None and name not in known:
        raise UsageError(f"There is no target '{name}'; `neo-cli targets --query Targets[].Name` lists them.")
    rows = [_row(target) for target in known.values() if name in (None, target.name)]
    emit("Targets", [{"Targets": rows} if name is None else rows[0]], context.option("query"), context)


def _row(target: Target) -> dict[str, Any]:
    values = {
        "Name": target.name,
        "Os": target.os,
        "Arch": target.arch,
        "Cpu": target.cpu,
        "Accelerator": target.accelerator,
        "GpuArch": target.gpu_arch,
        "Triple": target.triple,
        "BackEnds": ", ".join(target.backends),
        "BackEndsOnRequest": ", ".join(target.on_request),
        "GpuBackEnds": ", ".join(target.accelerate),
        "Verified": target.verify,
        "Notes": " ".join(filter(None, [target.refuse, *target.notes])),
    }
    return {key: value for key, value in values.items() if value}
