"""Jobs in one SQLite file: WAL, synchronous=FULL, every change and its event in one IMMEDIATE transaction."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neo_cli.jobs.job import INPROGRESS, MOVES, STARTING, STOPPING, TERMINAL, Job, Runner
from neo_cli.jobs.stores.base import SORTS, Event, Query, Store, StoreError, TooManyJobs
from neo_cli.jobs.stores.driver import Connection

COLUMNS = (
    "name", "arn", "status", "created", "modified", "request", "attempt", "started", "ended", "lease", "runner", "reason",
    "artifact", "digest", "derived", "image", "trusted", "extra",
)  # fmt: skip
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM jobs"
_JSON = ("request", "runner", "extra")

# Numbered: version N is reached by running N-1's text and then this one. user_version holds the number.
MIGRATIONS = (
    """
    CREATE TABLE jobs (
        name TEXT PRIMARY KEY, arn TEXT NOT NULL, status TEXT NOT NULL, created REAL NOT NULL, modified REAL NOT NULL,
        request TEXT NOT NULL, attempt INTEGER NOT NULL, started REAL, ended REAL, lease REAL, runner TEXT, reason TEXT,
        artifact TEXT, digest TEXT, derived TEXT, image TEXT, trusted INTEGER NOT NULL, extra TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE events (
        name TEXT NOT NULL, seq INTEGER NOT NULL, attempt INTEGER NOT NULL, source TEXT, target TEXT NOT NULL,
        at REAL NOT NULL, detail TEXT NOT NULL, PRIMARY KEY (name, seq)
    ) WITHOUT ROWID;
    CREATE TABLE tags (name TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (name, key)) WITHOUT ROWID;
    CREATE INDEX by_created ON jobs (created, name);
    CREATE INDEX by_modified ON jobs (modified, name);
    CREATE INDEX by_status_created ON jobs (status, created, name);
    CREATE INDEX by_status_modified ON jobs (status, modified, name);
    CREATE INDEX by_status ON jobs (status, name)
    """,
)
# Kinds of file systems, as /proc names them, on which other machines may write: WAL needs memory that all writers share.
NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gfs2", "ocfs2", "beegfs", "gpfs", "fuse.sshfs", "fuse.glusterfs", "fuse.cephfs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "fuse.mount-s3", "fuse.lustre", "fuse.curlftpfs", "fuse.smbnetfs"})  # fmt: skip


class SqliteStore(Store):
    """Jobs in the file at `place`, made and migrated when needed."""

    def __init__(self, place: str) -> None:
        self.path = Path(place)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StoreError(f"The folder of the job store cannot be made: {error}.") from error
        _refuse_network(self.path.parent)
        self._db = Connection(self.path)
        self._migrate()

    def _migrate(self) -> None:
        version = self._db.run("PRAGMA user_version")[0][0]
        if version == len(MIGRATIONS):
            return
        if version > len(MIGRATIONS):
            raise StoreError(
                f"The job store {self.path} was written by a newer neo-cli (schema {version}); this one knows schema {len(MIGRATIONS)}."
            )
        with self._db.write():  # whoever comes second finds the number raised
            for number in range(self._db.run("PRAGMA user_version")[0][0], len(MIGRATIONS)):
                self._db.script(MIGRATIONS[number])
                self._db.run(f"PRAGMA user_version={number + 1}")

    def add(self, job: Job, tags: Mapping[str, str], limit: int | None = None) -> bool:
        with self._db.write():
            if self._db.run("SELECT 1 FROM jobs WHERE name=?", (job.name,)):
                return False
            if limit is not None and self._count(STARTING, INPROGRESS, STOPPING) >= limit:
                raise TooManyJobs
            marks = ", ".join("?" * len(COLUMNS))
            self._db.run(
                f"INSERT INTO jobs ({', '.join(COLUMNS)}) VALUES ({marks})",
                [_column(c, getattr(job, c)) for c in COLUMNS],
            )
            for key, value in tags.items():
                self._db.run("INSERT INTO tags VALUES (?, ?, ?)", (job.name, key, value))
            self._record(job.name, job.attempt, None, job.status, job.created, "")
        return True

    def get(self, name: str) -> Job | None:
        rows = self._db.run(f"{_SELECT} WHERE name=?", (name,))
        return _job(rows[0]) if rows else None

    def page(self, query: Query) -> list[Job]:
        where, values = _conditions(query)
        order = "DESC" if query.descending else "ASC"
        field = SORTS[query.sort]
        clause = f" WHERE {' AND '.join(where)}" if where else ""
        rows = self._db.run(f"{_SELECT}{clause} ORDER BY {field} {order}, name {order} LIMIT ?", [*values, query.limit])
        return [_job(row) for row in rows]

    def claim(self, runner: Runner, now: float, lease: float, slots: int) -> Job | None:
        with self._db.write():
            busy = self._count(INPROGRESS, STOPPING)
            oldest = self._db.run(f"{_SELECT} WHERE status=? ORDER BY created, name LIMIT 1", (STARTING,))
            if not oldest or busy >= slots:
                return None
            job = _job(oldest[0])
            self._db.run(
                "UPDATE jobs SET status=?, attempt=attempt+1, runner=?, lease=?, started=coalesce(started, ?), modified=? WHERE name=?",
                (INPROGRESS, _column("runner", runner), lease, now, now, job.name),
            )
            self._record(job.name, job.attempt + 1, STARTING, INPROGRESS, now, f"{runner.host}:{runner.pid}")
            return self.get(job.name)

    def renew(self, name: str, attempt: int, lease: float) -> str | None:
        with self._db.write():
            rows = self._db.run(
                "UPDATE jobs SET lease=? WHERE name=? AND attempt=? AND status IN (?, ?) RETURNING status",
                (lease, name, attempt, INPROGRESS, STOPPING),
            )
        return rows[0][0] if rows else None

    def note(self, name: str, attempt: int, extra: Mapping[str, Any], unless: str = "") -> bool:
        with self._db.write():
            job = self.get(name)
            if job is None or job.attempt != attempt or job.status not in {INPROGRESS, STOPPING} - {unless}:
                return False
            self._db.run("UPDATE jobs SET extra=? WHERE name=?", (json.dumps({**job.extra, **extra}), name))
        return True

    def move(
        self, name: str, source: str, target: str, attempt: int, now: float, detail: str = "", **changes: Any
    ) -> bool:
        if target not in MOVES[source]:
            raise ValueError(f"no job moves from {source} to {target}")
        fields = {"status": target, "modified": now, **changes}
        sets = ", ".join(f"{column}=?" for column in fields)
        with self._db.write():
            rows = self._db.run(
                f"UPDATE jobs SET {sets} WHERE name=? AND status=? AND attempt=? RETURNING name",
                [*(_column(c, v) for c, v in fields.items()), name, source, attempt],
            )
            if rows:
                self._record(name, attempt, source, target, now, detail)
        return bool(rows)

    def delete(self, name: str) -> bool:
        marks = ", ".join("?" * len(TERMINAL))
        with self._db.write():
            rows = self._db.run(
                f"DELETE FROM jobs WHERE name=? AND status IN ({marks}) RETURNING name", (name, *sorted(TERMINAL))
            )
            if rows:
                self._db.run("DELETE FROM events WHERE name=?", (name,))
                self._db.run("DELETE FROM tags WHERE name=?", (name,))
        return bool(rows)

    def events(self, name: str) -> list[Event]:
        return [
            Event(*row)
            for row in self._db.run(
                "SELECT seq, attempt, source, target, at, detail FROM events WHERE name=? ORDER BY seq", (name,)
            )
        ]

    def under_way(self) -> list[Job]:
        return [_job(row) for row in self._db.run(f"{_SELECT} WHERE status IN (?, ?)", (INPROGRESS, STOPPING))]

    def waiting(self) -> list[Job]:
        return [_job(row) for row in self._db.run(f"{_SELECT} WHERE status=? ORDER BY created, name", (STARTING,))]

    def tags(self, name: str) -> dict[str, str]:
        return dict(self._db.run("SELECT key, value FROM tags WHERE name=? ORDER BY key", (name,)))  # type: ignore[arg-type]

    def tag(self, name: str, tags: Mapping[str, str], limit: int) -> bool:
        with self._db.write():
            if len({**self.tags(name), **tags}) > limit:
                return False
            for key, value in tags.items():
                self._db.run(
                    "INSERT INTO tags VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value=excluded.value",
                    (name, key, value),
                )
        return True

    def untag(self, name: str, keys: list[str]) -> None:
        with self._db.write():
            for key in keys:
                self._db.run("DELETE FROM tags WHERE name=? AND key=?", (name, key))

    def close(self) -> None:
        self._db.close()

    def _count(self, *statuses: str) -> int:
        marks = ", ".join("?" * len(statuses))
        return int(self._db.run(f"SELECT count(*) FROM jobs WHERE status IN ({marks})", statuses)[0][0])

    def _record(self, name: str, attempt: int, source: str | None, target: str, at: float, detail: str) -> None:
        self._db.run(
            "INSERT INTO events SELECT ?, coalesce(max(seq), 0) + 1, ?, ?, ?, ?, ? FROM events WHERE name=?",
            (name, attempt, source, target, at, detail, name),
        )


def _conditions(query: Query) -> tuple[list[str], list[Any]]:
    field = SORTS[query.sort]
    parts = (
        ("status=?", query.status), ("instr(name, ?) > 0", query.contains), ("created > ?", query.created_after),
        ("created < ?", query.created_before), ("modified > ?", query.modified_after), ("modified < ?", query.modified_before),
    )  # fmt: skip
    where, values = (
        [text for text, value in parts if value is not None],
        [value for _, value in parts if value is not None],
    )
    if query.after is not None:
        where.append(f"({field}, name) {'<' if query.descending else '>'} (?, ?)")
        values += query.after
    return where, values


def _column(name: str, value: Any) -> Any:
    if name == "runner":
        return None if value is None else json.dumps(value._asdict())
    if name == "trusted":
        return int(value)
    return json.dumps(value, ensure_ascii=False) if name in _JSON else value


def _job(row: tuple[Any, ...]) -> Job:
    fields = dict(zip(COLUMNS, row, strict=True))
    for name in _JSON:
        fields[name] = json.loads(fields[name]) if fields[name] is not None else None
    if fields["runner"] is not None:
        fields["runner"] = Runner(**fields["runner"])
    fields["trusted"] = bool(fields["trusted"])
    return Job(**fields)


def _refuse_network(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> None:
    """Raise StoreError when the folder lies on a file system of NETWORK. Where /proc is not, nothing is known."""
    try:
        device = folder.stat().st_dev
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in lines:  # proc_pid_mountinfo(5): the third field is the device, the first after " - " the kind
        fields, _, rest = line.partition(" - ")
        if fields.split()[2:3] == [number] and rest.split(" ", 1)[0] in NETWORK:
            kind = rest.split(" ", 1)[0]
            raise StoreError(
                f"The job store cannot lie on {kind} ({folder}): set NEO_HOME to a folder on a local disk."
            )
