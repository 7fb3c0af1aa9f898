"""What the AWS configuration files say: ~/.aws/config and credentials, read with the standard library only."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from neo_cli.base.errors import NeoError

Values = dict[str, "str | Values"]


class Profile:
    """The profile in force and its settings; the files are read at the first question, once.

    The name is the flag, else AWS_PROFILE, else AWS_DEFAULT_PROFILE, else "default" (AWS CLI v2's order; boto3
    asks the last two the other way round). A question to a profile that was named but does not exist is an error.
    """

    def __init__(self, environ: Mapping[str, str], name: str | None = None) -> None:
        self._environ = environ
        self.source: str = profile_source(environ, name)
        # an empty AWS_PROFILE names a profile that does not exist, as it does for AWS; an empty flag names none
        found = name or environ.get(self.source)
        self.name: str = "default" if found is None else found
        self._named = found is not None
        self._values: Values | None = None
        self._services: dict[str, Values] = {}
        self._profiles: dict[str, Values] = {}

    def get(self, key: str) -> str | None:
        """The profile's setting `key`; None where it has none; an empty string stays one."""
        value = self._load().get(key)
        return value if isinstance(value, str) else None

    def section(self, key: str) -> dict[str, str]:
        """A nested setting (`s3 =` followed by indented lines) as a mapping, empty where there is none."""
        value = self._load().get(key)
        return {k: v for k, v in value.items() if isinstance(v, str)} if isinstance(value, dict) else {}

    def service(self, name: str) -> dict[str, str]:
        """What the `[services X]` section of this profile (`services = X`) says about service `name`."""
        chosen = self.get("services")
        if not chosen:
            return {}
        if chosen not in self._services:
            raise NeoError(
                "The profile is configured to use the services section but the "
                f'"{chosen}" services configuration does not exist.'
            )
        value = self._services[chosen].get(name)
        return {k: v for k, v in value.items() if isinstance(v, str)} if isinstance(value, dict) else {}

    @property
    def names(self) -> list[str]:
        """All profiles the two files know."""
        self._read()
        return list(self._profiles)

    def _load(self) -> Values:
        if self._values is None:
            self._read()
            if self.name not in self._profiles and self._named:
                raise NeoError(f"The config profile ({self.name}) could not be found")
            self._values = self._profiles.get(self.name, {})
        return self._values

    def _read(self) -> None:
        if self._profiles or self._services:
            return
        config, credentials = files(self._environ)
        for title, values in parse(config, self._environ).items():
            kind, _, rest = title.partition(" ") if re.match(r"(profile|services)\s", title) else (title, "", "")
            names = _words(rest) if rest else []
            if title == "default":
                self._profiles["default"] = values
            elif kind == "profile" and len(names) == 1:
                self._profiles[names[0]] = values
            elif kind == "services" and len(names) == 1:
                self._services[names[0]] = values
        for title, values in parse(credentials, self._environ).items():
            self._profiles.setdefault(title, {}).update(values)


def profile_source(environ: Mapping[str, str], name: str | None) -> str:
    """Where the profile's name comes from, in words."""
    if name:
        return "--profile"
    return next((v for v in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE") if v in environ), "default")


def files(environ: Mapping[str, str]) -> tuple[str, str]:
    """The paths of config and credentials as botocore would name them, "~" and variables not yet expanded."""
    return (
        environ.get("AWS_CONFIG_FILE") or "~/.aws/config",
        environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials",
    )


def expand(path: str, environ: Mapping[str, str]) -> str:
    """`path` with $VARS and a leading "~" replaced from `environ`."""
    path = re.sub(r"\$(\w+)|\$\{(\w+)\}", lambda m: environ.get(m.group(1) or m.group(2), m.group(0)), path)
    if path == "~" or path.startswith("~/"):
        return (environ.get("HOME") or os.path.expanduser("~")) + path[1:]
    return os.path.expanduser(path)


def parse(path: str, environ: Mapping[str, str]) -> dict[str, Values]:
    """The sections of one file; a file that is not there has none."""
    full = expand(path, environ)
    if not os.path.isfile(full):
        return {}
    import configparser

    parser = configparser.RawConfigParser(default_section=None)  # type: ignore[call-overload]
    try:
        parser.read(full, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as fault:
        raise NeoError(f"Unable to parse config file: {full}") from fault
    return {title: {key: _nested(value, full) for key, value in parser.items(title)} for title in parser.sections()}


def _nested(value: str, path: str) -> str | Values:
    """A value that starts on the next line holds indented `key = value` lines of its own."""
    if not value.startswith("\n"):
        return value
    found: Values = {}
    for line in filter(None, map(str.strip, value.splitlines())):
        key, equals, rest = line.partition("=")
        if not equals:
            raise NeoError(f"Unable to parse config file: {path}")
        found[key.strip()] = rest.strip()
    return found


def _words(text: str) -> list[str]:
    import shlex

    try:
        return shlex.split(text)
    except ValueError:  # an unbalanced quote: botocore skips such a section too
        return []
