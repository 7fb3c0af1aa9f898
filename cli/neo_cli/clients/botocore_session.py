"""A botocore session that reads 27 kB of SageMaker's model instead of 2 MB, and leaves its answers as they came."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import UnknownServiceError
from botocore.loaders import Loader
from botocore.parsers import JSONParser, ResponseParserFactory
from botocore.session import Session as BotocoreSession

from neo_cli import __version__
from neo_cli.api import shapes

# AWS CLI v2's order; botocore's own has the two the other way round
PROFILE_VARIABLES = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"]


class Session(BotocoreSession):  # type: ignore[misc]
    """botocore's session with our loader; `use_endpoint` spares it the partitions' tables."""

    def use_endpoint(self, service: str) -> None:
        """Clients of `service` will be made with an endpoint URL: no rules are needed to find one."""
        loader = self.get_component("data_loader")
        loader.without_rules = service
        self._internal_components.register_component("endpoint_resolver", _Resolver(loader))


def create_session(environ: Mapping[str, str], profile: str | None) -> Any:
    """A session of the profile in force. Only a profile from the command line outranks keys in the environment."""
    session = Session(session_vars={"profile": (None, PROFILE_VARIABLES, None, None)}, profile=profile or None)
    session.user_agent_name, session.user_agent_version = "neo-cli", __version__
    session.register_component("data_loader", _Loader(extra_search_paths=data_paths(session)))
    session.register_component("response_parser_factory", _Parsers())
    if uses_roles(environ, profile):
        share_role_cache(session)
    return session


def data_paths(session: Any) -> list[str]:
    """Where AWS_DATA_PATH says more models lie."""
    found = session.get_config_variable("data_path") or ""
    return [os.path.expandvars(os.path.expanduser(path)) for path in found.split(os.pathsep) if path]


def uses_roles(environ: Mapping[str, str], profile: str | None) -> bool:
    """Whether credentials may come from an assumed role: never with plain keys in the environment."""
    return bool(profile) or "AWS_ACCESS_KEY_ID" not in environ


def share_role_cache(session: Any) -> None:
    """Keep assumed roles in the AWS CLI's own cache, so that one-time passwords are asked for once an hour."""
    from botocore.utils import JSONFileCache

    cache = JSONFileCache(os.path.expanduser(os.path.join("~", ".aws", "cli", "cache")))
    providers = session.get_component("credential_provider")
    for name in ("assume-role", "assume-role-with-web-identity"):
        providers.get_provider(name).cache = cache


class _Loader(Loader):  # type: ignore[misc]
    """SageMaker's model is api/model.json; everything else is botocore's."""

    without_rules: str | None = None

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> Any:
        if service_name == "sagemaker" and type_name == "service-2":
            return shapes.load()
        if service_name == self.without_rules and type_name == "endpoint-rule-set-1":
            raise UnknownServiceError(service_name=service_name, known_service_names="none needed")
        return super().load_service_model(service_name, type_name, api_version)


class _Parsers(ResponseParserFactory):  # type: ignore[misc]
    """SageMaker's parser is ours; the one protocol it alone speaks here is AWS JSON."""

    def __init__(self) -> None:
        super().__init__()
        self.set_parser_defaults(timestamp_parser=lambda value: value)

    def create_parser(self, protocol_name: str) -> Any:
        return _AsItCame(**self._defaults) if protocol_name == "json" else super().create_parser(protocol_name)


class _AsItCame(JSONParser):  # type: ignore[misc]
    """Leaves a document as it is: the output puts it into model order, once and not twice."""

    def _parse_shape(self, shape: Any, node: Any) -> Any:
        if shape.type_name == "structure" and not shape.metadata.get("exception"):
            return node if isinstance(node, dict) else {}
        return super()._parse_shape(shape, node)


class _Resolver:
    """Answers for SageMaker from the endpoint given, for any other service from botocore's endpoints.json."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._real: Any = None

    def construct_endpoint(self, service_name: str, region_name: str | None = None, **more: Any) -> Any:
        if service_name == "api.sagemaker":
            return {
                "partition": "aws", "endpointName": region_name, "hostname": "endpoint.invalid", "dnsSuffix": "invalid",
                "signatureVersions": ["v4"], "protocols": ["https"],
            }  # fmt: skip
        return self._everyone().construct_endpoint(service_name, region_name, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._everyone(), name)

    def _everyone(self) -> Any:
        if self._real is None:
            from botocore.regions import EndpointResolver

            data, path = self._loader.load_data_with_path("endpoints")
            self._real = EndpointResolver(data, uses_builtin_data=self._loader.is_builtin_path(path))
        return self._real
