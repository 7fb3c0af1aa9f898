"""`neo-cli doctor`: what is in force here and which source decided it; nothing is changed and nothing is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from neo_cli.entry.context import Context

TOOLS = ("bwrap", "qemu-aarch64", "qemu-arm")  # what a worker uses where it finds it
PROBE = "neo_cli.worker.probe"
DISTRIBUTION = "neo-cli"
TOLD = ("NEO_ENGINE", "NEO_HOME", "NEO_SLOTS")  # variables that show as the source of another line


@click.command("doctor")
@click.pass_obj
def command(context: Context) -> None:
    """What is in force here, and from which source: engine, profile, region, endpoint, store, extras, compilers,
    sandbox (ours, not AWS's).

    \b
    Examples:
      neo-cli doctor
      neo-cli doctor --output json --query "Settings[?Name=='engine']"
    """
    report = {"Settings": list(settings(context)), "Packages": list(packages()), "Tools": list(tools(context))}
    if context.options.get("output") or context.options.get("query"):
        from neo_cli.entry.output import emit

        emit("Doctor", [report], context.option("query"), context)
    else:
        context.stdout.write("".join(readable(report)))


def settings(context: Context) -> Iterator[dict[str, str]]:
    """Each setting with its value and its source; one that cannot be had says why."""
    from neo_cli.clients import base

    environ = context.environ
    questions: list[tuple[str, Callable[[], tuple[str | None, str]]]] = [
        ("neo-cli", version),
        ("engine", lambda: base.engine(context)),
        ("profile", lambda: _profile(context)),
        ("region", lambda: base.region(context)),
        ("endpoint", lambda: base.endpoint(context)),
        ("credentials", lambda: credentials(context)),
        ("output", lambda: _option(context, "output", "json")),
        ("store", lambda: _store(context)),
        ("slots", lambda: _slots(context)),
        ("sandbox", lambda: sandbox(context)),
    ]
    for name in sorted(environ):
        if name.startswith("NEO_") and name not in TOLD:
            questions.append((name, lambda name=name: (environ[name], "environment")))  # type: ignore[misc]
    for name, question in questions:
        yield _answer(name, question)


def _answer(name: str, question: Callable[[], tuple[str | None, str]]) -> dict[str, str]:
    from neo_cli.base.errors import NeoError

    try:
        value, source = question()
    except NeoError as fault:
        value, source = "error", fault.message
    return {"Name": name, "Value": value or "none", "Source": source}


def version() -> tuple[str, str]:
    """neo-cli's version and the Python it runs on."""
    import platform
    import sys

    from neo_cli import __version__

    return (
        __version__,
        f"Python {platform.python_version()}, {sys.executable}, {platform.system()} {platform.machine()}",
    )


def credentials(context: Context) -> tuple[str | None, str]:
    """Where AWS keys would come from, by the files and the environment alone; the keys themselves are not shown."""
    if not context.options.get("profile") and context.environ.get("AWS_ACCESS_KEY_ID"):
        return "access key", "AWS_ACCESS_KEY_ID"
    kinds = {
        "role_arn": "assumed role", "web_identity_token_file": "web identity", "aws_access_key_id": "access key",
        "sso_session": "single sign-on", "sso_start_url": "single sign-on", "credential_process": "process",
    }  # fmt: skip
    for key, kind in kinds.items():
        if context.setting(key):
            return kind, f"{key} of profile {context.profile.name}"
    return None, "not set (only the AWS engine and s3:// need them; an instance role is looked for when it is needed)"


def sandbox(context: Context) -> tuple[str | None, str]:
    """The tier compilers run in, asked of the worker in a process of its own."""
    import json
    import subprocess
    import sys

    try:
        run = subprocess.run(
            [sys.executable, "-m", PROBE], capture_output=True, text=True, timeout=60, env=dict(context.environ)
        )
        found = json.loads(run.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return "unknown", "the worker could not be asked"
    passed = "; ".join(map(str, found.get("passed_over", [])))
    return str(found["sandbox"]), f"first that works here{f' (passed over: {passed})' if passed else ''}"


def packages() -> Iterator[dict[str, str]]:
    """Every package neo-cli can use: its version here, and the extra that brings it."""
    import re
    from importlib import metadata

    try:
        wanted = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return
    for requirement in dict.fromkeys(wanted):
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        marker = re.search(r"""extra == ["']([^"']+)["']""", requirement)
        extra = marker.group(1) if marker else "always"
        if name == DISTRIBUTION or extra in ("all", "test"):
            continue
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            found = "missing"
        yield {"Name": name, "Version": found, "Extra": extra}


def tools(context: Context) -> Iterator[dict[str, str]]:
    """Programs a worker uses where they are installed."""
    import shutil

    for name in TOOLS:
        yield {"Name": name, "Path": shutil.which(name, path=context.environ.get("PATH")) or "missing"}


def readable(report: dict[str, list[dict[str, str]]]) -> Iterator[str]:
    """The report for a person: a line per setting, its source after it."""
    for row in report["Settings"]:
        yield f"{row['Name']:<14} {row['Value']}  [{row['Source']}]\n"
    by_extra: dict[str, list[str]] = {}
    for row in report["Packages"]:
        by_extra.setdefault(row["Extra"], []).append(f"{row['Name']} {row['Version']}")
    yield (
        "\npackages\n" if by_extra else "\npackages: neo-cli is not installed as a package, its extras are not known\n"
    )
    for extra, names in by_extra.items():
        missing = any(name.endswith(" missing") for name in names)
        hint = f'  (pip install "neo-cli[{extra}]")' if missing and extra != "always" else ""
        yield f"  {extra:<12} {', '.join(names)}{hint}\n"
    yield "\ntools\n"
    for row in report["Tools"]:
        yield f"  {row['Name']:<12} {row['Path']}\n"


def _profile(context: Context) -> tuple[str | None, str]:
    context.profile.get("region")  # a profile that is named but missing is an error worth showing here
    return context.profile.name, context.profile.source


def _option(context: Context, name: str, default: str) -> tuple[Any, str]:
    from neo_cli.entry.options import GLOBAL_OPTIONS

    record = GLOBAL_OPTIONS[name]
    if context.options.get(name):
        return context.options[name], record.flag
    for variable in record.env:
        if context.environ.get(variable):
            return context.environ[variable], variable
    value = context.setting(record.config)
    return (value, f"profile {context.profile.name}") if value else (default, "default")


def _store(context: Context) -> tuple[str | None, str]:
    from neo_cli.jobs.opened import place

    source = next((name for name in ("NEO_HOME", "XDG_STATE_HOME") if context.environ.get(name)), "default")
    return str(place(context.environ)), source


def _slots(context: Context) -> tuple[str | None, str]:
    from neo_cli.jobs.launch import slots

    source = "NEO_SLOTS" if context.environ.get("NEO_SLOTS") else "default: half the cores"
    return str(slots(context.environ)), source
