"""The compiler child of one attempt: started in its sandbox, watched, logged, ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from neo_cli.base.errors import InternalError
from neo_cli.base.paths import home
from neo_cli.frontends import CODE_CARRYING
from neo_cli.jobs.job import Job
from neo_cli.jobs.life import KILLS, MARK, identity, memory_kills, token
from neo_cli.worker import child as compiler_child
from neo_cli.worker import sandbox, tree, verdict
from neo_cli.worker.journal import Journal

GRACE = 10.0  # seconds between TERM and KILL


@dataclass
class Compiler:
    """A running child; `result` is what it left, once it has ended."""

    process: subprocess.Popen[bytes]
    folder: Path
    pump: threading.Thread
    kills: int | None = None  # processes that the kernel had ended for want of memory before

    @classmethod
    def start(cls, job: Job, archive: str, folder: Path, environ: Mapping[str, str], journal: Journal) -> Compiler:
        """Write the order and start the child in the best sandbox there is."""
        tier = sandbox.probe()
        carries = (job.request.get("InputConfig") or {}).get("Framework") in CODE_CARRYING
        order = {"request": job.request, "archive": archive, "trusted": tier.confines or job.trusted}
        (folder / compiler_child.REQUEST).write_text(json.dumps(order), encoding="utf-8")
        env, write = _surroundings(environ, folder, private=carries)
        env[MARK] = token(job)
        argv = [sys.executable, "-m", "neo_cli.worker.child", str(folder)]
        journal.line(f"sandbox: {tier.name}" + "".join(f"; {text}" for text in tier.passed_over))
        parent, limits = os.getpid(), sandbox.apply(sandbox.Limits())

        kills = memory_kills()

        def enter() -> None:
            os.setpgid(0, 0)
            tree.prefer_as_victim()
            tree.die_with_parent(parent)
            limits()

        try:
            process = subprocess.Popen(
                sandbox.command(tier, argv, write=write), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, env=env, cwd=folder, preexec_fn=enter,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            raise InternalError(f"The compiler could not be started: {error}.") from error
        tree.KEPT.add(process.pid)
        assert process.stdout is not None
        pump = threading.Thread(target=_pump, args=(process.stdout, journal), daemon=True)
        pump.start()
        return cls(process, folder, pump, kills)

    def mark(self) -> dict[str, Any]:
        """For the job's record: the child's identity, so that whoever finds the job without its runner can end it, and
        what tells whether memory was the reason."""
        return {"child": identity(self.process.pid)._asdict(), KILLS: self.kills}

    def running(self) -> bool:
        return self.process.poll() is None

    def end(self, grace: float = GRACE) -> None:
        """TERM, then KILL, to the child and to all it started; also to what it left behind when it ended by itself."""
        tree.end(os.getpid(), grace)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        tree.KEPT.discard(self.process.pid)
        self.pump.join(5)

    def result(self) -> dict[str, Any]:
        """What the child wrote; raises InternalError that says how it ended when it wrote nothing."""
        found = verdict.read(self.folder / compiler_child.RESULT, self.folder)
        if found is not None:
            self._refuse_noexec(str(found.get("reason", "")))
            return found
        if not self.folder.is_dir():
            raise InternalError(f"The work folder {self.folder} is gone; somebody removed it.")
        code = self.process.returncode
        number = -code if code is not None and code < 0 else (code - 128 if code and code > 128 else 0)
        if number:
            try:
                name = signal.Signals(number).name
            except ValueError:
                name = str(number)
            after = memory_kills()
            if number == signal.SIGKILL and self.kills is not None and after is not None and after > self.kills:
                raise InternalError("The compiler ran out of memory: the kernel ended it (SIGKILL).")
            more = ", probably for want of memory" if number == signal.SIGKILL and after is None else ""
            raise InternalError(f"The compiler crashed: it was ended by signal {number} ({name}){more}.")
        raise InternalError(f"The compiler ended with code {code} and left no result.")

    def _refuse_noexec(self, reason: str) -> None:
        """What was compiled could not be loaded to be checked: the disk's fault, when nothing may run there."""
        if "failed to map segment" in reason and os.statvfs(self.folder).f_flag & os.ST_NOEXEC:
            raise InternalError(f"No program may run in the work folder {self.folder}: its disk is mounted noexec.")


def _surroundings(environ: Mapping[str, str], folder: Path, private: bool) -> tuple[dict[str, str], list[Path]]:
    """The child's environment, and the folders it may write to: its own, the shared cache, and NEO_SAVE_TEMPS.

    Code from a model file must not reach what other jobs will use, so such a job has a cache of its own.
    """
    env, write = sandbox.environment(environ, folder), [folder]
    if private:
        env["NEO_HOME"] = str(folder / "home")
    else:
        cache = home("cache", environ)
        cache.mkdir(parents=True, exist_ok=True)
        write.append(cache)
        env.update(
            {"NEO_HOME": str(cache.parent)} if environ.get("NEO_HOME") else {"XDG_CACHE_HOME": str(cache.parent)}
        )
    for name in ("SOURCE_DATE_EPOCH", compiler_child.DEBUG):
        if name in environ:
            env[name] = environ[name]
    if environ.get("NEO_SAVE_TEMPS"):
        temps = Path(environ["NEO_SAVE_TEMPS"])
        temps.mkdir(parents=True, exist_ok=True)
        write.append(temps)
    return env, write


def _pump(stream: IO[bytes], journal: Journal) -> None:
    """Carry the child's output into the log, line by line; a line without end is cut, not waited for."""
    with stream:
        while True:
            try:
                line = stream.readline(65536)
            except (OSError, ValueError):
                return
            if not line:
                return
            journal.line(line.decode("utf-8", "backslashreplace").rstrip("\n"))
