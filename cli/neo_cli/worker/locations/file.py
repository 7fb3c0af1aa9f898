"""Files of this machine: copied in, and published by a rename inside the same folder after everything is on disk."""

from __future__ import annotations

import errno
import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from neo_cli.base.errors import InputError, InternalError
from neo_cli.jobs.places import path_of
from neo_cli.worker.locations.base import Fetched, unnoted

MARK = "user.neo"  # extended attribute prefix under which a published file keeps its metadata
TRIES = 3  # of an input that changes while it is read
MACHINES = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)  # no fault of the request


@dataclass
class PreparedFile:
    """A complete file under a hidden name, beside the name it will have."""

    temporary: Path
    final: Path

    def commit(self) -> None:
        try:
            os.replace(self.temporary, self.final)
            _sync(self.final.parent)
        except OSError as error:
            raise _refusal(error, self.final) from error

    def abort(self) -> None:
        self.temporary.unlink(missing_ok=True)


class FileLocation:
    """file:// URIs with absolute paths."""

    def fetch(self, uri: str, into: Path, limit: int) -> Fetched:
        """A file that changes while it is read is read again, then given up: half of two archives is none."""
        path = Path(path_of(uri))
        try:
            for _ in range(TRIES):
                if not path.is_file():
                    raise InputError(f"There is no file {path}." if not path.exists() else f"{path} is not a file.")
                before = path.stat()
                if before.st_size > limit:
                    raise InputError(f"The input archive is {before.st_size} bytes; at most {limit} are accepted.")
                shutil.copyfile(path, into)
                if _same(before, path.stat()):
                    return Fetched(into, before.st_size)
            raise InternalError(f"{path} changed again and again while it was read.")
        except OSError as error:
            if error.errno in MACHINES or error.filename == str(into):
                raise InternalError(f"{path} cannot be copied to {into.parent}: {error.strerror}.") from error
            raise InputError(f"The file {path} cannot be read: {error.strerror}.") from error

    def prepare(
        self, uri: str, file: Path, metadata: Mapping[str, str], kms: str | None, begun: Callable[[str], None] = unnoted
    ) -> PreparedFile:
        if kms:
            raise InputError(
                "KmsKeyId cannot be honoured for an output location on this machine: nothing is encrypted there."
            )
        final = Path(path_of(uri))
        temporary = None
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            mine = f".{final.name}.{metadata.get('neo-job', '')}-"
            for left in final.parent.glob(glob.escape(mine) + "*.part"):  # by an attempt that was killed here
                left.unlink(missing_ok=True)
            handle, name = tempfile.mkstemp(prefix=mine, suffix=".part", dir=final.parent)
            temporary = Path(name)
            begun(temporary.name)
            with os.fdopen(handle, "wb") as target, file.open("rb") as source:
                shutil.copyfileobj(source, target, 2**20)
                target.flush()
                os.fchmod(target.fileno(), 0o666 & ~_umask())
                os.fsync(target.fileno())
            for key, value in metadata.items():
                _mark(temporary, key, value)
        except OSError as error:
            if temporary is not None:
                temporary.unlink(missing_ok=True)
            raise _refusal(error, final) from error
        return PreparedFile(temporary, final)

    def discard(self, uri: str, piece: str) -> None:
        (Path(path_of(uri)).parent / Path(piece).name).unlink(missing_ok=True)

    def holds(self, uri: str, metadata: Mapping[str, str]) -> bool:
        """By the digest of the bytes, which needs no file system support: `neo-digest` is BLAKE2b of the file."""
        import hashlib

        path = Path(path_of(uri))
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, lambda: hashlib.blake2b()).hexdigest() == metadata.get("neo-digest")


def below(root: Path, uri: str) -> str:
    """The file:// URI of s3://bucket/key under the folder `root`; keys that would leave it are refused."""
    parts = uri.removeprefix("s3://").split("/")
    if ".." in parts or "." in parts or "\0" in uri:
        raise InputError(f"'{uri}' cannot stand for a file: its key has '.' or '..' as a part.")
    end = "/" if uri.endswith("/") else ""
    return "file://" + quote(str(root.expanduser().absolute().joinpath(*filter(None, parts)))) + end


def _same(before: os.stat_result, after: os.stat_result) -> bool:
    return all(getattr(before, name) == getattr(after, name) for name in ("st_ino", "st_size", "st_mtime_ns"))


def _mark(path: Path, key: str, value: str) -> None:
    """Keep metadata with the file where the file system can; nothing depends on it."""
    try:
        os.setxattr(path, f"{MARK}.{key}", value.encode())
    except OSError:
        return


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _refusal(error: OSError, path: Path) -> InputError | InternalError:
    """A full disk is the machine's fault; a folder that cannot be written is the request's."""
    text = f"The output {path} cannot be written: {error.strerror}."
    return InternalError(text) if error.errno in MACHINES else InputError(text)
