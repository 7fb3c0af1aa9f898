"""One operation of the API as a command: its options come from the model, its response goes to the output format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from neo_cli.api import shapes
from neo_cli.api.names import camel, kebab
from neo_cli.base.errors import ExitCode, ParamValidation, UsageError
from neo_cli.entry import skeleton
from neo_cli.entry.context import Context
from neo_cli.entry.options import GLOBAL_OPTIONS
from neo_cli.entry.scan import MANY, MAYBE, NONE, ONE, Argument, Misuse, UnknownOptions, scan
from neo_cli.entry.values import documents

PAGING = ("--starting-token", "--page-size", "--max-items")
TRUST = "--trust-model"
FORMS = ("input", "yaml-input", "output")


class Operation(click.Command):
    """A click command that reads its line by AWS's rules and sends one request."""

    def __init__(self, name: str) -> None:
        self.operation = camel(name)
        self.shape = shapes.input_shape(self.operation)
        self.flags = {f"--{kebab(member)}": member for member in self.shape["members"]}
        self.required = [f"--{kebab(member)}" for member in self.shape.get("required", [])]
        super().__init__(name, help=shapes.load()["operations"][self.operation]["documentation"])

    @property
    def paginated(self) -> bool:
        return self.operation in shapes.load()["pagination"]

    def arguments(self) -> list[Argument]:
        """Every option, in the order AWS knows them."""
        found = [Argument(flag, MANY if self._kind(member) == "list" else ONE) for flag, member in self.flags.items()]
        found += [Argument(flag) for flag in documents.FLAGS]
        if self.paginated:
            found += [Argument(flag) for flag in PAGING]
        found.append(Argument(skeleton.FLAG, MAYBE, FORMS, "input"))
        return [*found, Argument(TRUST, NONE, ours=True)] if self.operation == "CreateCompilationJob" else found

    def _kind(self, member: str) -> str:
        return str(shapes.shape(self.shape["members"][member]["shape"])["type"])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the values of the options into `ctx.params`, by flag."""
        found = scan(self.arguments(), args, words=1)
        if args == ["help"] or any(word in ("--help", "-h") for word in found.rest):
            _show_help(self, ctx)
        missing = [] if _relaxed(args) else [flag for flag in self.required if flag not in found.values]
        if missing:
            raise Misuse(f"the following arguments are required: {', '.join(missing)}")
        if found.words == ["help"]:
            _show_help(self, ctx)
        left = [*found.rest, *found.words]
        if left:
            raise UnknownOptions(left, [a.flag for a in self.arguments()] + [o.flag for o in GLOBAL_OPTIONS.values()])
        ctx.params = found.values
        return []

    def invoke(self, ctx: click.Context) -> int:
        """Send the request and print the response, or print what --generate-cli-skeleton asks for."""
        context: Context = ctx.obj
        context.operation = self.operation
        values = ctx.params
        if values.get(skeleton.FLAG) in ("input", "yaml-input"):
            self.given(values, context)  # what cannot be read is told, what is missing is not
            context.stdout.write(skeleton.text(self.operation, values[skeleton.FLAG]))
            return ExitCode.OK
        params, options = self.request(values, context)
        if skeleton.FLAG in values:
            self._emit([skeleton.output(self.operation)], context)
            return ExitCode.OK
        self._send(params, options, bool(values.get(TRUST)), context)
        return ExitCode.OK

    def given(self, values: dict[str, Any], context: Context) -> dict[str, Any]:
        """The request's members that stand on the line."""
        from neo_cli.entry.values.parameters import value_of

        params = {}
        for flag, member in self.flags.items():
            if flag in values:
                shape = shapes.shape(self.shape["members"][member]["shape"])
                params[member] = value_of(flag, shape, values[flag], context)
        return params

    def request(self, values: dict[str, Any], context: Context) -> tuple[dict[str, Any], dict[str, Any]]:
        """The request's members and the paging options, checked as botocore would and ready for the wire."""
        from neo_cli.entry.values.parameters import encode_json_members

        options = _paging(values)
        params = encode_json_members(documents.merge(self.given(values, context), values, context))
        if (context.setting("parameter_validation") or "").lower() != "false":
            faults = shapes.client_faults(self.operation, params)
            if faults:
                raise ParamValidation("Parameter validation failed:\n" + "\n".join(faults))
        return shapes.to_wire(self.operation, params), options

    def _send(self, params: dict[str, Any], options: dict[str, Any], trust: bool, context: Context) -> None:
        from neo_cli.clients import client_for
        from neo_cli.clients.base import engine
        from neo_cli.entry.paging import pages

        local = engine(context).value == "local"
        if trust and not local:
            raise UsageError(f"{TRUST} is for the local engine; AWS decides itself what it runs.")
        client: Any = client_for(context)
        call = (lambda name, members: client.call(name, members, trust_model=True)) if trust else client.call
        self._emit(pages(call, self.operation, params, options, context), context)
        if local and self.operation == "CreateCompilationJob" and context.interactive:
            name = params["CompilationJobName"]
            context.say(f"neo-cli wait compilation-job-completed-or-stopped --compilation-job-name {name}")

    def _emit(self, pages: Any, context: Context) -> None:
        from neo_cli.entry.output import emit

        emit(self.operation, pages, context.option("query"), context)

    def get_help(self, ctx: click.Context) -> str:
        from neo_cli.entry.help import operation

        return operation(self, ctx.obj)


def _show_help(command: Operation, ctx: click.Context) -> None:
    ctx.obj.stdout.write(command.get_help(ctx))
    ctx.exit(ExitCode.OK)


def _relaxed(args: Sequence[str]) -> bool:
    """Whether nothing is required: a request comes as a document, or a skeleton of the input is wanted.

    AWS looks for the bare words, so that `--generate-cli-skeleton=input` requires everything.
    """
    if any(flag in args for flag in documents.FLAGS):
        return True
    if skeleton.FLAG not in args:
        return False
    after = args[args.index(skeleton.FLAG) + 1 :]
    return not after or after[0] != "output"


def _paging(values: dict[str, Any]) -> dict[str, Any]:
    """The paging options by name, whole numbers made of the two that are."""
    found: dict[str, Any] = {}
    for flag in PAGING:
        value = values.get(flag)
        if value is None:
            continue
        if flag != "--starting-token":
            try:
                value = int(value)
            except ValueError as fault:
                raise Misuse(f"argument {flag}: invalid int value: '{value}'") from fault
        found[flag[2:].replace("-", "_")] = value
    return found
