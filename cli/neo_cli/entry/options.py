"""The options every command takes, in one table: flag, environment, configuration key, choices, help."""

from __future__ import annotations

from typing import Any, NamedTuple

from neo_cli.base.errors import NeoError, ParamValidation
from neo_cli.clients.base import ENGINES
from neo_cli.entry.output import FORMATS

ERROR_FORMATS = ("legacy", "json", "yaml", "text", "table", "enhanced")


class Option(NamedTuple):
    """One global option.

    `env` and `config` say where else its value may stand; `Context.option` looks there in this order. Where `traced`
    is set, `neo_cli.clients.base` does (it knows more places, and says which one decided) and `Context.option` gives
    the flag alone.
    """

    flag: str
    help: str
    metavar: str = ""  # empty: the option takes no value
    choices: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    config: str = ""
    default: str = ""
    traced: bool = False
    ours: bool = False

    @property
    def name(self) -> str:
        """`--endpoint-url` → `endpoint_url`, what `Context.option` is asked for."""
        return self.flag[2:].replace("-", "_")


# in the order of the AWS CLI's synopsis, which is also how it lists what an ambiguous prefix could mean
GLOBAL_OPTIONS = {
    option.name: option
    for option in (
        Option("--debug", "log what happens to standard error, and show tracebacks"),
        Option("--endpoint-url", "send requests to this URL; implies --engine aws", "URL", (),
               ("AWS_ENDPOINT_URL_SAGEMAKER", "AWS_ENDPOINT_URL"), "endpoint_url", traced=True),
        Option("--no-verify-ssl", "accept any TLS certificate"),
        Option("--no-paginate", "ask for one page only"),
        Option("--output", "how responses are printed", "FORMAT", tuple(FORMATS), ("AWS_DEFAULT_OUTPUT",), "output", "json"),
        Option("--query", "a JMESPath expression that selects from the response", "EXPRESSION"),
        Option("--profile", "the profile of the AWS configuration files", "NAME", (),
               ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"), "", "default", traced=True),
        Option("--region", "the AWS region; colours the ARNs of the local engine", "REGION", (),
               ("AWS_REGION", "AWS_DEFAULT_REGION"), "region", traced=True),
        Option("--version", "print the version and leave"),
        Option("--color", "colour in tables; NO_COLOR turns auto off", "WHEN", ("on", "off", "auto"), (), "", "auto"),
        Option("--no-sign-request", "send unsigned requests, without credentials"),
        Option("--ca-bundle", "trust the certificates in this file", "PATH", (), ("AWS_CA_BUNDLE",), "ca_bundle"),
        Option("--cli-read-timeout", "seconds to wait for an answer; 0 waits for ever", "SECONDS", default="60"),
        Option("--cli-connect-timeout", "seconds to wait for a connection; 0 waits for ever", "SECONDS", default="60"),
        Option("--cli-binary-format", "accepted for AWS scripts; no parameter here is binary", "FORMAT",
               ("base64", "raw-in-base64-out"), (), "cli_binary_format"),
        Option("--no-cli-pager", "never start a pager (AWS_PAGER, cli_pager, PAGER)"),
        Option("--cli-auto-prompt", "ask for what is missing (AWS_CLI_AUTO_PROMPT, cli_auto_prompt: on, on-partial, off)"),
        Option("--no-cli-auto-prompt", "do not ask, whatever the configuration says"),
        Option("--cli-error-format", "how errors are printed", "FORMAT", ERROR_FORMATS,
               ("AWS_CLI_ERROR_FORMAT",), "cli_error_format", "enhanced"),
        Option("--engine", "where requests go: this machine or AWS (neo-cli's own option)", "ENGINE", ENGINES,
               ("NEO_ENGINE",), "neo_engine", "local", traced=True, ours=True),
    )
}  # fmt: skip


def check(options: dict[str, Any]) -> None:
    """Refuse what AWS refuses about global options before it looks at the command."""
    if options.get("cli_auto_prompt") and options.get("no_cli_auto_prompt"):
        raise ParamValidation("Both --cli-auto-prompt and --no-cli-auto-prompt cannot be specified at the same time.")
    if options.get("query") is not None:
        from neo_cli.entry.output.query import compile_query

        compile_query(options["query"])
    url = options.get("endpoint_url")
    if url is not None and not _has_scheme(url):
        raise ParamValidation(
            f'Bad value for --endpoint-url "{url}": scheme is missing.  '
            "Must be of the form http://<hostname>/ or https://<hostname>/"
        )
    for name in ("cli_read_timeout", "cli_connect_timeout"):
        if options.get(name) is not None:
            whole(options[name])


def whole(text: Any) -> int:
    """An integer of the command line; AWS shows Python's words and exits 255, so do we."""
    try:
        return int(text)
    except (ValueError, TypeError) as fault:
        raise NeoError(str(fault)) from fault


def _has_scheme(url: str) -> bool:
    """As urllib sees it: `localhost:80` has the scheme "localhost", and fails later, as it does for AWS."""
    scheme, colon, _ = url.partition(":")
    return bool(colon) and scheme[:1].isalpha() and scheme.isascii() and scheme.translate(_SCHEME_MARKS).isalnum()


_SCHEME_MARKS = str.maketrans("", "", "+-.")
