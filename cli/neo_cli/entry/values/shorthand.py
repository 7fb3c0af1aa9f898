r"""AWS's shorthand: `key=value,key=[a,b],key={k=v}` becomes a mapping; the model says which values are numbers or lists.

    parameter = pair *("," pair)            pair  = key "=" value / key "@=" file
    value     = text *("," text) / list / mapping        (two texts or more are a list)
    list      = "[" [item *("," item)] "]"  mapping = "{" [pair *("," pair)] "}"
    text      = 'quoted' / "quoted" / bare; in a bare text "\," is a comma

Ours, where AWS refuses: the members in `json_members` (the API wants JSON in a string there) also take JSON, a
backslash-escaped or python-style mapping without quotes around it, and mappings and lists in shorthand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

_KEY = re.compile(r"[A-Za-z0-9\-_.#/:]*")
_BLANK = re.compile(r"[ \t\n\r\x0b\x0c]*")
_SINGLE = re.compile(r"'(?:\\'|[^'])*'")
_DOUBLE = re.compile(r'"(?:\\"|[^"])*"')
# A bare text: no quote, comma or bracket may begin it; as a list's second text it holds no "=" (that would be a key).
_START = r"(?:\\,|[!#-&(-+\--<>-Z\\-z\u007c-\uffff])"
_FIRST = re.compile(_START + r"(?:\\,|[\s!#-&(-+\--\\^-|~-\uffff])*")
_SECOND = re.compile(_START + r"(?:\\,|[\s!#-&(-+\--<>-\uffff])*")


class ShorthandError(ValueError):
    """The text is not shorthand; the message shows where."""


def _wrong(text: str, expected: str, received: str, index: int) -> ShorthandError:
    return ShorthandError(f"Expected: '{expected}', received: '{received}' for input:\n {_pointer(text, index)}")


def _pointer(text: str, index: int) -> str:
    """The text with a caret under `index`; lines after the faulty one follow the caret."""
    before = text[:index].rfind("\n") + 1
    after = text.find("\n", index)
    seen, rest = (text, "") if after < 0 else (text[:after], text[after:])
    return f"{seen}\n{' ' * (index - before)}^{rest}"


def parse(text: str, load: Callable[[str], Any], json_members: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The mapping that `text` describes; `load` reads what a `key@=file://…` names."""
    return _Reader(text, load, json_members).parameter()


class _Reader:
    def __init__(self, text: str, load: Callable[[str], Any], json_members: frozenset[str]) -> None:
        self.text = text
        self.at = 0
        self.load = load
        self.json_members = json_members

    def parameter(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        end = -1  # of the pair before
        while True:
            key, value = self.pair(nested=False)
            if key in found:
                raise ShorthandError(
                    f'Second instance of key "{key}" encountered for input:\n{_pointer(self.text, end + 1)}\n'
                    'This is often because there is a preceding "," instead of a space.'
                )
            found[key] = value
            end = self.at
            if self.at >= len(self.text):
                return found
            self.expect(",", blanks=True)

    def pair(self, nested: bool) -> tuple[str, Any]:
        key = self.take(_KEY)
        from_file = self.comes("@")
        self.expect("=", blanks=True)
        if key in self.json_members and self.text[self.at : self.at + 1] in ("{", "["):
            return key, self.json_text(nested)
        value = self.item() if nested else self.values()
        return key, self.loaded(value) if from_file else value

    def values(self) -> Any:
        if self.at >= len(self.text):
            return ""
        return self.item() if self.text[self.at] in "[{" else self.texts()

    def texts(self) -> Any:
        """One text, or a list of those that follow without being keys."""
        first = self.first()
        self.take(_BLANK)
        if self.current() != ",":
            return first
        self.expect(",", blanks=True)
        found = [first]
        while True:
            try:
                text = self.second()
                self.take(_BLANK)
                if self.at >= len(self.text):
                    found.append(text)
                    break
                self.expect(",", blanks=True)
                found.append(text)
            except ShorthandError:
                if self.at >= len(self.text):
                    raise
                self.at = self.text.rindex(",", 0, self.at + 1)  # what was read is the next key: give it back
                break
        return first if len(found) == 1 else found

    def item(self) -> Any:
        if self.current() == "[":
            return self.listed()
        if self.current() == "{":
            return self.mapping()
        return self.first()

    def listed(self) -> list[Any]:
        found: list[Any] = []
        self.expect("[", blanks=True)
        while self.current() != "]":
            found.append(self.item())
            self.separator("]")
        self.at += 1
        return found

    def mapping(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self.expect("{", blanks=True)
        while self.current() != "}":
            key, value = self.pair(nested=True)
            self.separator("}")
            found[key] = value
        self.at += 1
        return found

    def separator(self, end: str) -> None:
        self.take(_BLANK)
        if self.current() != end:
            self.expect(",")
            self.take(_BLANK)

    def first(self) -> str:
        quoted = self.quoted()
        return _plain(self.take(_FIRST)) if quoted is None else quoted

    def second(self) -> str:
        quoted = self.quoted()
        return _plain(self.must(_SECOND, "second")) if quoted is None else quoted

    def quoted(self) -> str | None:
        mark = self.current()
        if mark not in ("'", '"'):
            return None
        whole = self.must(_SINGLE, "singled quoted") if mark == "'" else self.must(_DOUBLE, "double quoted")
        return whole[1:-1].replace("\\" + mark, mark).replace("\\\\", "\\")

    def loaded(self, value: Any) -> Any:
        """What a file named after "@=" holds, for one text or each of several."""
        if isinstance(value, list):
            return [self.loaded(part) for part in value]
        return self.load(value) if isinstance(value, str) else value

    def json_text(self, nested: bool) -> Any:
        start = self.at
        end = _balanced(self.text, start)
        raw = self.text[start:end]
        following = _BLANK.sub("", self.text[end:])[:1]
        if following in ("", ",", "}" if nested else ","):
            for candidate in (raw, raw.replace('\\"', '"')):
                if _is_json(candidate):
                    self.at = end
                    self.take(_BLANK)
                    return candidate
            if _is_python(raw):
                self.at = end
                self.take(_BLANK)
                return raw
        return json.dumps(_with_numbers(self.item()), ensure_ascii=False)

    def current(self) -> str:
        return self.text[self.at : self.at + 1]

    def comes(self, mark: str) -> bool:
        start = self.at
        self.take(_BLANK)
        if self.current() == mark:
            self.at += 1
            self.take(_BLANK)
            return True
        self.at = start
        return False

    def expect(self, mark: str, blanks: bool = False) -> None:
        if blanks:
            self.take(_BLANK)
        if self.current() != mark:
            raise _wrong(self.text, mark, self.current() or "EOF", self.at)
        self.at += 1
        if blanks:
            self.take(_BLANK)

    def take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            return ""
        self.at = match.end()
        return match.group()

    def must(self, pattern: re.Pattern[str], name: str) -> str:
        if pattern.match(self.text, self.at) is None:
            raise _wrong(self.text, f"<{name}>", "<none>", self.at)
        return self.take(pattern)


def _plain(text: str) -> str:
    return text.replace("\\,", ",").rstrip()


def _with_numbers(value: Any) -> Any:
    """Shorthand knows texts only; in what becomes JSON, whole numbers are meant as such (shapes, mostly)."""
    if isinstance(value, dict):
        return {key: _with_numbers(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_with_numbers(part) for part in value]
    return int(value) if re.fullmatch(r"-?[0-9]{1,18}", value) else value


def _balanced(text: str, start: int) -> int:
    """Where the bracket at `start` is closed, quotes left alone; the end of the text where it is not."""
    depth, quote = 0, ""
    for index in range(start, len(text)):
        mark = text[index]
        if quote:
            if mark == quote and text[index - 1] != "\\":
                quote = ""
        elif mark in "\"'" and text[index - 1] != "\\":
            quote = mark
        elif mark in "[{":
            depth += 1
        elif mark in "]}":
            depth -= 1
            if depth == 0:
                return index + 1
    return len(text)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _is_python(text: str) -> bool:
    import ast

    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return False
    return True
