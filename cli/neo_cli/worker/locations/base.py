"""What a location does: fetch an archive; publish a file in two steps, between which the store's fence lies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from neo_cli.base.errors import InputError, InternalError
from neo_cli.base.table import lookup
from neo_cli.worker.locations import LOCATIONS


class CredentialsExpired(InternalError):
    """The place may be reached again once somebody has renewed the credentials."""


class Fetched(NamedTuple):
    """A fetched object: where it lies now, its size in bytes, and which version it was, where versions are kept."""

    path: Path
    size: int
    version: str | None = None


def unnoted(piece: str) -> None:
    """Nobody wants to know."""


class Prepared(Protocol):
    """A publication that lies ready and is not visible yet."""

    def commit(self) -> None:
        """Make it visible, whole, at once."""

    def abort(self) -> None:
        """Leave nothing behind."""


class Location(Protocol):
    """One scheme. Errors are InputError (the request's fault) or InternalError (the machine's)."""

    def fetch(self, uri: str, into: Path, limit: int) -> Fetched:
        """Copy the object to the file `into`; more than `limit` bytes are refused."""

    def prepare(
        self, uri: str, file: Path, metadata: Mapping[str, str], kms: str | None, begun: Callable[[str], None] = unnoted
    ) -> Prepared:
        """Bring `file` there, invisible until `commit`; `begun` is told the piece that lies there from now on."""

    def discard(self, uri: str, piece: str) -> None:
        """Remove a piece that `begun` was told of by an attempt that is gone; one that is not there is no error.

        Raises JobError when the place could not be asked.
        """

    def holds(self, uri: str, metadata: Mapping[str, str]) -> bool:
        """Whether what lies at `uri` was published with this metadata. Raises JobError when the place cannot be asked."""


def location_of(uri: str, environ: Mapping[str, str]) -> tuple[Location, str]:
    """The location of a URI and the URI it means there: with NEO_S3_ROOT, s3://bucket/key is a file below it."""
    root = environ.get("NEO_S3_ROOT")
    if uri.startswith("s3://") and root:
        from neo_cli.worker.locations.file import below

        uri = below(Path(root), uri)
    scheme = uri.split("://", 1)[0]
    if scheme not in LOCATIONS:
        raise InputError(f"'{uri}' is at no location that the local engine knows: {', '.join(LOCATIONS)}.")
    location: Location = lookup(LOCATIONS, scheme)()
    return location, uri


def join(folder: str, name: str) -> str:
    """The URI of `name` below the output location `folder`."""
    return folder.rstrip("/") + "/" + name
