"""AWS itself, through botocore, set up as the AWS CLI v2 sets it up and with the eight operations' model only."""

from __future__ import annotations

import logging
import math
from typing import Any

from neo_cli.api import shapes
from neo_cli.base.errors import ConfigurationError, NeoError
from neo_cli.clients.base import RefusedByAws, Surroundings, endpoint, region

SERVICE = "sagemaker"
log = logging.getLogger("neo_cli.clients.aws")


class NoRegion(ConfigurationError):
    code = "NoRegion"


class NoCredentials(ConfigurationError):
    code = "NoCredentials"


class AwsClient:
    """Calls go to the endpoint in force; botocore is imported and the client made at the first of them."""

    def __init__(self, context: Surroundings) -> None:
        self._context = context
        self._client: Any = None

    def call(self, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        """Send one request, up to three times, and return its response without metadata."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            if self._client is None:
                self._client = connect(self._context)
            response = self._client._make_api_call(operation, whole_seconds(operation, params))
        except ClientError as refusal:
            raise refused(refusal.response, operation) from refusal
        except (BotoCoreError, ValueError, OSError) as fault:
            raise translated(fault) from fault
        metadata = response.pop("ResponseMetadata", {})
        log.debug("RequestId: %s", metadata.get("RequestId"))
        return dict(response)

    def close(self) -> None:
        """Close the connections; a process that ends does as much."""
        if self._client is not None:
            self._client.close()


def connect(context: Surroundings) -> Any:
    """A botocore client for SageMaker: region, profile, endpoint, retries and TLS as the AWS CLI v2 chooses them."""
    from neo_cli.clients.botocore_session import create_session

    flag = context.option("profile")
    session = create_session(context.environ, flag)
    place = region(context).value or _region_of_this_instance(session)
    if not place:
        raise NoRegion('You must specify a region. You can also configure your region by running "aws configure".')
    session.set_config_variable("region", place)  # STS and SSO want to know it too
    url = endpoint(context).value
    if url:
        session.use_endpoint(SERVICE)
    return session.create_client(
        SERVICE,
        region_name=place,
        endpoint_url=url,
        verify=False if context.option("no_verify_ssl") else context.option("ca_bundle"),
        config=_config(context),
    )


def whole_seconds(operation: str, params: dict[str, Any]) -> dict[str, Any]:
    """`params` with timestamps as the AWS CLI v2 sends them: epoch seconds, the fraction dropped."""
    from botocore.utils import parse_to_aware_datetime

    shape = shapes.input_shape(operation)
    times = [key for key, member in shape["members"].items() if shapes.shape(member["shape"])["type"] == "timestamp"]
    found = dict(params)
    for key in times:
        if key in found:
            value = found[key]
            seconds = value if isinstance(value, int | float) else parse_to_aware_datetime(value).timestamp()
            found[key] = math.floor(seconds)
    return found


def refused(response: dict[str, Any], operation: str) -> RefusedByAws:
    """The service's refusal; the count of retries is told only when all attempts were used up, as AWS does."""
    error = response.get("Error", {})
    metadata = response.get("ResponseMetadata", {})
    retries = metadata.get("RetryAttempts") if metadata.get("MaxAttemptsReached") else None
    return RefusedByAws(
        str(error.get("Code", "Unknown")), str(error.get("Message", "Unknown")), operation, retries, dict(error)
    )


def translated(fault: Exception) -> NeoError:
    """The AWS CLI's words for what went wrong before there was an answer."""
    from botocore.exceptions import NoCredentialsError, NoRegionError

    if isinstance(fault, NoCredentialsError):
        return NoCredentials('Unable to locate credentials. You can configure credentials by running "aws login".')
    if isinstance(fault, NoRegionError):
        return NoRegion('You must specify a region. You can also configure your region by running "aws configure".')
    return NeoError(str(fault))


def _config(context: Surroundings) -> Any:
    from botocore import UNSIGNED
    from botocore.config import Config

    from neo_cli import __version__

    environ = context.environ
    mode = environ.get("AWS_RETRY_MODE") or context.setting("retry_mode") or "standard"
    attempts = environ.get("AWS_MAX_ATTEMPTS") or context.setting("max_attempts") or "3"
    chosen: dict[str, Any] = {
        "retries": {"mode": mode, "total_max_attempts": int(attempts)},
        "parameter_validation": False,  # the entry checks, or was told not to
        "user_agent_extra": f"neo-cli/{__version__}",
    }
    for option in ("read_timeout", "connect_timeout"):
        value = context.option(f"cli_{option}")
        if value is not None:
            chosen[option] = int(value) or None  # 0 waits for ever
    if context.option("no_sign_request"):
        chosen["signature_version"] = UNSIGNED
    return Config(**chosen)


def _region_of_this_instance(session: Any) -> str | None:
    """The region an EC2 instance says it is in; asked last, and not at all where AWS_EC2_METADATA_DISABLED."""
    from botocore.utils import InstanceMetadataRegionFetcher

    found: str | None = InstanceMetadataRegionFetcher(
        timeout=session.get_config_variable("metadata_service_timeout"),
        num_attempts=session.get_config_variable("metadata_service_num_attempts"),
        user_agent=session.user_agent(),
    ).retrieve_region()
    return found
