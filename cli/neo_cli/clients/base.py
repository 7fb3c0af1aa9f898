"""Where a request goes and what that was decided by: engine, region, endpoint, each with its source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from neo_cli.base.errors import ServiceError, UsageError
from neo_cli.clients.profile import Profile

if TYPE_CHECKING:
    from typing import Protocol, TextIO

ENGINES = ("local", "aws")

if TYPE_CHECKING:  # a Protocol takes half a millisecond to make, which every command would pay

    class Surroundings(Protocol):
        """What a client may know of the command line it serves (neo_cli.entry.context.Context is one)."""

        stdout: TextIO
        stderr: TextIO

        @property
        def environ(self) -> Mapping[str, str]: ...

        @property
        def profile(self) -> Profile: ...

        def option(self, name: str) -> Any:
            """The value of a global option as given on the line ("endpoint_url"), None where it was not."""

        def setting(self, key: str) -> str | None:
            """The profile's setting `key`."""

    class Client(Protocol):
        """One engine."""

        def call(self, operation: str, params: dict[str, Any]) -> dict[str, Any]:
            """Ask for `operation` and return the response, timestamps as epoch seconds; refusals are ServiceErrors."""

else:
    Surroundings = Client = object


class Found(NamedTuple):
    """A setting and where it comes from, in words."""

    value: str | None
    source: str


class RefusedByAws(ServiceError):
    """A refusal by the service behind an endpoint; `error` is what came over the wire, in its order."""

    def __init__(self, code: str, message: str, operation: str, retries: int | None, error: dict[str, Any]) -> None:
        super().__init__(message, code)
        self.operation = operation
        self.retries = retries  # the count to show once all attempts are used up
        self.error = error


def engine(context: Surroundings) -> Found:
    """`local` or `aws`: --engine, NEO_ENGINE, the profile's neo_engine, an endpoint that was asked for, else local.

    Nothing is sent to AWS unless one of these says so.
    """
    environ = context.environ
    said = (
        (context.option("engine"), "--engine"),
        (environ.get("NEO_ENGINE"), "NEO_ENGINE"),
        (context.setting("neo_engine"), f"neo_engine of profile {context.profile.name}"),
        (context.option("endpoint_url") and "aws", "--endpoint-url is given"),
        (environ.get("AWS_ENDPOINT_URL_SAGEMAKER") and "aws", "AWS_ENDPOINT_URL_SAGEMAKER is set"),
    )
    value, source = next(((value, source) for value, source in said if value), ("local", "default"))
    if value not in ENGINES:
        raise UsageError(f"Unknown engine {value!r} from {source}; choose one of: {', '.join(ENGINES)}")
    return Found(value, source)


def region(context: Surroundings) -> Found:
    """The region: --region, AWS_REGION, AWS_DEFAULT_REGION, the profile; boto3 would not look at the second."""
    environ = context.environ
    if context.option("region"):
        return Found(context.option("region"), "--region")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        if environ.get(name):
            return Found(environ[name], name)
    value = context.setting("region")
    return Found(value, f"profile {context.profile.name}") if value else Found(None, "not set")


def endpoint(context: Surroundings, service: str = "sagemaker") -> Found:
    """The endpoint's URL: the flag, the service's variable, the general one, the services section, the profile.

    AWS_IGNORE_CONFIGURED_ENDPOINT_URLS and ignore_configured_endpoint_urls leave the flag alone in force.
    """
    environ = context.environ
    if context.option("endpoint_url"):
        return Found(context.option("endpoint_url"), "--endpoint-url")
    ignore = environ.get(
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", context.setting("ignore_configured_endpoint_urls") or ""
    )
    if ignore.lower() == "true":
        return Found(None, "default (configured endpoints are ignored)")
    for name in (f"AWS_ENDPOINT_URL_{service.upper()}", "AWS_ENDPOINT_URL"):
        if environ.get(name):
            return Found(environ[name], name)
    value = context.profile.service(service).get("endpoint_url")
    if value:
        return Found(value, f"services section {context.setting('services')}")
    value = context.setting("endpoint_url")
    return Found(value, f"profile {context.profile.name}") if value else Found(None, "default")
