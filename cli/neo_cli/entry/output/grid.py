"""How wide a table's columns are and how its lines are drawn."""

from __future__ import annotations

from collections.abc import Iterator
from unicodedata import east_asian_width

from neo_cli.base.errors import NeoError

PADDING = 4  # blanks a column gets on top of its widest cell
CELL, BAR, RESET = "\x1b[1m\x1b[34m", "\x1b[2m\x1b[33m", "\x1b[0m"


class Section:
    """One box: a title, perhaps a header, rows of strings; `level` is how many bars stand around it."""

    def __init__(self, title: str, level: int) -> None:
        self.title = title
        self.level = level
        self.headers: list[str] = []
        self.rows: list[list[str]] = []
        self._widths: list[int] | None = None

    def head(self, headers: list[str]) -> None:
        """Set the header."""
        self.headers = headers
        self._measure(headers)

    def add(self, row: list[object]) -> None:
        """Add a row; all rows of a box are equally long."""
        cells = [str(cell) for cell in row]
        self._measure(cells)
        self.rows.append(cells)

    def _measure(self, cells: list[str]) -> None:
        widths = [0] * len(cells) if self._widths is None else self._widths
        if len(cells) != len(widths):
            raise NeoError(f"Row should have {len(widths)} elements, instead it has {len(cells)}")
        self._widths = [max(width, columns(cell)) for width, cell in zip(widths, cells)]

    @property
    def width(self) -> int:
        """What the box needs, its bars included."""
        content = sum(width + PADDING for width in self._widths or [])
        return 2 + 2 * self.level + max(columns(self.title), content)

    def spread(self, total: int) -> list[int]:
        """Column widths that fill `total`: scaled, then one more or less each until they do."""
        needed = [width + PADDING for width in self._widths or []]
        if not needed:
            return []
        scaled = [round(total / float(sum(needed)) * width) for width in needed]
        excess = sum(scaled) - total
        while excess:
            step = 1 if excess > 0 else -1
            for place in range(len(scaled)) if step > 0 else reversed(range(len(scaled))):
                scaled[place] -= step
                excess -= step
                if not excess:
                    break
        return scaled

    def turned(self) -> Section:
        """The same with a line per header, where there is but one row."""
        if len(self.rows) != 1 or not self.headers:
            return self
        section = Section(self.title, self.level)
        for header, cell in zip(self.headers, self.rows[0]):
            section.add([header, cell])
        return section


def columns(text: str) -> int:
    """Columns `text` takes; wide and ambiguous characters count two, as AWS counts them."""
    return len(text) if text.isascii() else sum(2 if east_asian_width(char) in "WFA" else 1 for char in text)


def render(sections: list[Section], terminal: int, color: bool, paged: bool) -> str:
    """All boxes, one below the other; those of one row are turned when the table is wider than the terminal."""
    width = max(section.width for section in sections)
    if width > terminal:
        sections = [section.turned() for section in sections]
        width = max(section.width for section in sections)
    # AWS's colour library resets after every write to the terminal and once at exit; who compares bytes sees it
    reset = RESET if color and not paged else ""
    parts = ["-" * width + "\n" + reset]
    for section in sections:
        bars = (BAR + "|" + RESET if color else "|") * section.level
        for line in _lines(section, width - 2 * section.level, color):
            parts.append(f"{bars}{reset}{line}{reset}{bars}{reset}\n{reset}")
    return "".join(parts) + (RESET if color and not paged else "")


def _lines(section: Section, width: int, color: bool) -> Iterator[str]:
    widths = section.spread(width)
    rule = "+" + "".join("-" * (size - 2 + (place > 0)) + "+" for place, size in enumerate(widths))
    if section.title:
        yield _centred(section.title, width, "|")
        if not section.headers and not section.rows:
            yield "+" + "-" * (width - 2) + "+"
    if section.headers:
        yield rule
        yield "".join(
            _centred(cell, size, "" if place else "|")
            for place, (size, cell) in enumerate(zip(widths, section.headers))
        )
    if section.rows and widths:
        yield rule
        for row in section.rows:
            yield "".join(
                _left(cell, size, "" if place else "|", color) for place, (size, cell) in enumerate(zip(widths, row))
            )
        yield rule


def _centred(text: str, width: int, edge: str) -> str:
    size = columns(text)
    before = width // 2 - size // 2 - 1
    return f"{edge}{' ' * before}{text}{' ' * (width - 1 - len(edge) - before - size)}|"


def _left(text: str, width: int, edge: str, color: bool) -> str:
    size = columns(text)
    padding = 2 if size + 3 + len(edge) <= width else 0
    shown = f"{CELL}{text}{RESET}" if color else text
    return f"{edge}{' ' * padding}{shown}{' ' * (width - len(edge) - padding - size - 1)}|"
