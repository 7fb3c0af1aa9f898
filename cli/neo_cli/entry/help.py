"""Help pages: the root's, one for each operation, and topics; examples come first."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from neo_cli.api import shapes
from neo_cli.base.errors import ExitCode
from neo_cli.entry.commands import COMMANDS, operations
from neo_cli.entry.options import GLOBAL_OPTIONS
from neo_cli.entry.values.documents import FLAGS

if TYPE_CHECKING:
    from neo_cli.entry.context import Context
    from neo_cli.entry.verbs.operation import Operation

_CREATE = """neo-cli create-compilation-job --compilation-job-name digits \\
  --role-arn arn:aws:iam::123456789012:role/Neo --stopping-condition MaxRuntimeInSeconds=900 \\
  --input-config S3Uri=file:///models/digits.tar.gz,Framework=ONNX,DataInputConfig='{"x":[1,64]}' \\
  --output-config S3OutputLocation=file:///out,TargetDevice=ml_c5"""
_ARN = "arn:aws:sagemaker:local:000000000000:compilation-job/digits"

EXAMPLES = {
    "CreateCompilationJob": (
        _CREATE,
        "neo-cli create-compilation-job --generate-cli-skeleton yaml-input > job.yaml",
        "neo-cli create-compilation-job --cli-input-yaml file://job.yaml --compilation-job-name again",
    ),
    "DescribeCompilationJob": (
        "neo-cli describe-compilation-job --compilation-job-name digits",
        "neo-cli describe-compilation-job --compilation-job-name digits \\\n  --query CompilationJobStatus --output text",
    ),
    "ListCompilationJobs": (
        "neo-cli list-compilation-jobs --status-equals COMPLETED --output table",
        "neo-cli list-compilation-jobs --sort-by CreationTime --sort-order Descending --max-items 10",
    ),
    "StopCompilationJob": ("neo-cli stop-compilation-job --compilation-job-name digits",),
    "DeleteCompilationJob": ("neo-cli delete-compilation-job --compilation-job-name digits",),
    "AddTags": (f"neo-cli add-tags --resource-arn {_ARN} \\\n  --tags Key=team,Value=vision Key=stage,Value=test",),
    "ListTags": (f"neo-cli list-tags --resource-arn {_ARN}",),
    "DeleteTags": (f"neo-cli delete-tags --resource-arn {_ARN} \\\n  --tag-keys team stage",),
}

CODES = {
    ExitCode.OK: "done",
    ExitCode.INTERRUPTED: "Ctrl-C; a running job goes on",
    ExitCode.USAGE: "the command line or a parameter was not understood",
    ExitCode.CONFIGURATION: "region, credentials or configuration are missing",
    ExitCode.SERVICE: "the service (AWS or the local engine) refused the request",
    ExitCode.GENERAL: "anything else; also `wait` on a job that FAILED",
}

ENVIRONMENT = {
    "NEO_HOME": "state, cache and configuration in one folder, in place of the XDG folders",
    "NEO_ENGINE": "`local` or `aws`: where requests go",
    "NEO_SLOTS": "how many jobs run at once on this machine",
    "NEO_THREADS": "threads of the runtime; all cores when unset",
    "NEO_SAVE_TEMPS": "a folder that keeps the text of every compile stage",
    "NEO_S3_ROOT": "a folder that stands for S3: `s3://bucket/key` is `DIR/bucket/key`",
    "NEO_JOB_MEMORY": 'bytes a job may use ("6G"); four fifths of the machine\'s memory when unset',
    "NEO_JOB_DISK": 'bytes a job may write into its work folder ("20G"); 64G when unset',
    "NEO_MAX_JOBS": "how many jobs may wait or run; more are refused with ResourceLimitExceeded",
}


def root(context: Context, topic: str = "") -> str:
    """The page of `topic`, or the first page."""
    if topic in TOPICS:
        return TOPICS[topic](context)
    own = [name for name in COMMANDS if name not in operations()]
    parts = [
        "neo-cli: SageMaker Neo's compilation jobs, on this machine or on AWS\n",
        "Examples:\n",
        _indent("neo-cli quickstart\n" + _CREATE),
        "neo-cli wait compilation-job-completed-or-stopped --compilation-job-name digits",
        "neo-cli describe-compilation-job --compilation-job-name digits --output table\n",
        "Usage: neo-cli [options] <command> [parameters]\n",
        "Commands that mirror `aws sagemaker`:\n",
        _rows([(name, COMMANDS[name][1]) for name in operations()], context.width),
        "Our own commands:\n",
        _rows([(name, COMMANDS[name][1]) for name in own], context.width),
        "Options of every command, anywhere on the line:\n",
        global_options(context.width),
        f"Topics: neo-cli help {' | '.join(TOPICS)}",
        "More on a command: neo-cli <command> help",
    ]
    for place in (3, 4):
        parts[place] = _indent(parts[place])
    return "\n".join(parts) + "\n"


def operation(command: Operation, context: Context) -> str:
    """The page of one operation."""
    width = context.width
    entry = shapes.load()["operations"][command.operation]
    parts = [f"neo-cli {command.name}: {entry['documentation']}\n", "Examples:\n"]
    parts += [_indent(example) for example in EXAMPLES[command.operation]]
    parts += ["", f"Usage: neo-cli {command.name} [options]\n"]
    needed = [flag for flag in command.flags if flag in command.required]
    for title, flags in (("Required", needed), ("Optional", [f for f in command.flags if f not in needed])):
        if flags:
            parts += [f"{title} parameters:\n", *(_parameter(command, flag, width) for flag in flags), ""]
    parts += ["Input and output:\n", _rows(_common(command), width)]
    output = shapes.output_shape(command.operation)
    members = ", ".join(output["members"]) if output else "nothing"
    parts += [f"Answer: {members or 'nothing'}\n" if not output else _fill(f"Answer: {members}", width, "  ") + "\n"]
    parts.append("Options of every command: neo-cli help")
    return "\n".join(parts) + "\n"


def _common(command: Operation) -> list[tuple[str, str]]:
    rows = [
        (f"{FLAGS[0]} TEXT", 'the request as JSON, file://PATH or "-"; options on the line win'),
        (f"{FLAGS[1]} TEXT", 'the request as YAML, file://PATH or "-"'),
        ("--generate-cli-skeleton FORM", "print a request to fill in: input, yaml-input; or an answer: output"),
    ]
    if command.paginated:
        rows += [
            ("--max-items N", "stop after N items and print a NextToken"),
            ("--starting-token TOKEN", "go on where a NextToken says"),
            ("--page-size N", "items in each request; changes nothing in the output"),
        ]
    if command.operation == "CreateCompilationJob":
        rows.append(("--trust-model", "run code that the model file carries (local engine; neo-cli's own option)"))
    return rows


def _parameter(command: Operation, flag: str, width: int) -> str:
    member = command.shape["members"][command.flags[flag]]
    shape = shapes.shape(member["shape"])
    lines = [f"  {flag} {_form(shape)}", _fill(member.get("documentation", ""), width, "      ")]
    lines += _limits(shape, width, "      ")
    if shape["type"] == "structure":
        lines += _members(shape, width, "      ")
    elif shape["type"] == "list":
        item = shapes.shape(shape["member"]["shape"])
        if item["type"] == "structure":
            lines += _members(item, width, "      ")
    return "\n".join(line for line in lines if line)


def _form(shape: dict[str, Any]) -> str:
    if shape["type"] == "structure":
        return "Key=value,... or JSON"
    if shape["type"] == "list":
        item = shapes.shape(shape["member"]["shape"])
        return "Key=value,... [...] or JSON" if item["type"] == "structure" else "TEXT [TEXT ...]"
    return {"integer": "NUMBER", "timestamp": "TIME"}.get(shape["type"], "TEXT")


def _members(shape: dict[str, Any], width: int, lead: str) -> list[str]:
    lines = []
    for name, member in shape["members"].items():
        below = shapes.shape(member["shape"])
        mark = " (required)" if name in shape.get("required", []) else ""
        lines.append(_fill(f"{name}{mark}: {member.get('documentation', '')}", width, lead, "    "))
        lines += _limits(below, width, lead + "    ")
        if below["type"] == "structure":
            lines += _members(below, width, lead + "    ")
    return lines


def _limits(shape: dict[str, Any], width: int, lead: str) -> list[str]:
    if "enum" in shape:
        return [_fill(f"One of: {', '.join(shape['enum'])}", width, lead)]
    size = {"string": "characters", "list": "items"}.get(shape["type"], "")
    low, high = shape.get("min"), shape.get("max")
    if high is not None:
        return [f"{lead}{low or 0} to {high} {size}".rstrip()]
    return [f"{lead}at least {low} {size}".rstrip()] if low else []


def global_options(width: int) -> str:
    """One line or two for each option of GLOBAL_OPTIONS, with where else it may be set."""
    rows = []
    for option in GLOBAL_OPTIONS.values():
        value = " | ".join(option.choices) if 0 < len(option.choices) <= 3 else option.metavar
        places = ", ".join([*option.env, *([f"config {option.config}"] if option.config else [])])
        text = option.help
        if len(option.choices) > 3:
            text += f": {', '.join(option.choices)}"
        rows.append((f"{option.flag} {value}".rstrip(), f"{text} [{places}]" if places else text))
    return _rows(rows, width)


def _exit_codes(context: Context) -> str:
    return "Exit codes:\n\n" + _rows([(str(int(code)), text) for code, text in CODES.items()], context.width)


def _environment(context: Context) -> str:
    lead = "AWS's own variables are honoured as the AWS CLI v2 documents them; these are ours:\n\n"
    return lead + _rows(list(ENVIRONMENT.items()), context.width)


TOPICS = {"exit-codes": _exit_codes, "environment": _environment}


def _rows(rows: Iterable[tuple[str, str]], width: int) -> str:
    rows = list(rows)
    column = min(max(len(left) for left, _ in rows), 30) + 4
    lines = []
    for left, right in rows:
        text = textwrap.wrap(right, max(width - column, 30)) or [""]
        if len(left) + 3 > column:
            lines.append(f"  {left}")
            left = ""
        lines.append(f"  {left}".ljust(column) + text[0] if left else " " * column + text[0])
        lines += [" " * column + more for more in text[1:]]
    return "\n".join(lines) + "\n"


def _fill(text: str, width: int, lead: str, hang: str = "") -> str:
    return textwrap.fill(
        text, max(width, 40), initial_indent=lead, subsequent_indent=lead + hang, break_on_hyphens=False
    )


def _indent(text: str) -> str:
    return textwrap.indent(text, "  ")
