"""Draw docs/quickstart.svg from a real run of `neo-cli quickstart` on a terminal of 100 columns.

usage: python docs/tools/make_pictures.py
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).resolve().parents[1]
WIDTH = 100


def terminal_output(command: list[str], home: str) -> str:
    """What `command` writes to a terminal, without the lines that it drew over."""
    reader, writer = pty.openpty()
    env = {**os.environ, "NEO_HOME": home, "COLUMNS": str(WIDTH), "LINES": "50", "TERM": "xterm-256color"}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer, env=env)
    os.close(writer)
    seen = bytearray()
    while True:
        try:
            part = os.read(reader, 65536)
        except OSError:  # Linux says EIO when the last writer is gone
            break
        if not part:
            break
        seen += part
    if process.wait():
        raise SystemExit(f"{' '.join(command)} failed:\n{seen.decode(errors='replace')}")
    return screen(seen.decode(errors="replace"))


def screen(text: str) -> str:
    """The last state of every line: carriage returns and erased lines are played, colours stay."""
    lines: list[str] = [""]
    for part in text.replace("\r\n", "\n").split("\n"):
        while part.startswith("\x1b[1A") or part.startswith("\x1b[2K"):
            if part.startswith("\x1b[1A") and len(lines) > 1:
                lines.pop()
            part = part[4:]
        lines[-1] = part.rsplit("\r", 1)[-1].replace("\x1b[2K", "").replace("\x1b[?25l", "").replace("\x1b[?25h", "")
        lines.append("")
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def main() -> int:
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "neo_cli", "quickstart", "--output-dir", f"{home}/neo-quickstart"]
        shown = terminal_output(command, home).replace(home, "~")
    console = Console(record=True, width=WIDTH, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    console.print(Text("$ neo-cli quickstart", style="bold"))
    console.print(Text.from_ansi(shown))
    console.save_svg(str(DOCS / "quickstart.svg"), title="neo-cli", unique_id="neo")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
