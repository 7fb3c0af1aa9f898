"""A command line is read as the AWS CLI reads it: options anywhere, unique prefixes, `--opt=value`, the last one wins.

The rules are those of Python's argparse, on which the AWS CLI stands: what starts with "-" is an option unless it is a
negative number or holds a space; an option that is not known, and every word nobody asked for, is left over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from neo_cli.base.errors import ParamValidation, UsageError

ONE, MANY, MAYBE, NONE = "one", "many", "maybe", "none"  # how many values an option takes
_NEGATIVE = re.compile(r"-\d+|-\d*\.\d+")


class Misuse(ParamValidation):
    """The line cannot be read; the message is followed by the usage block."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UnknownOptions(UsageError):
    """Words and options nobody asked for."""

    def __init__(self, rest: Sequence[str], known: Iterable[str] = ()) -> None:
        super().__init__(f"Unknown options: {', '.join(rest)}")
        self.hint = did_you_mean([text for text in rest if text.startswith("--")], known)


class Argument(NamedTuple):
    """One option of a command."""

    flag: str
    takes: str = ONE
    choices: tuple[str, ...] = ()
    const: Any = None  # the value of a MAYBE without one
    ours: bool = False  # AWS does not have it: never abbreviated, so that every prefix means what it means there


class Scanned(NamedTuple):
    """What was found: values by flag, the words that were asked for, and everything left over."""

    values: dict[str, Any]
    words: list[str]
    rest: list[str]


def scan(
    arguments: Iterable[Argument], line: Sequence[str], words: int = 0, stop_at: frozenset[str] = frozenset()
) -> Scanned:
    """Read `line`. `words` is how many words (the command's name, say) are wanted; one flag of `stop_at` ends it."""
    known = {argument.flag: argument for argument in arguments}
    kinds = _kinds(known, line)
    found = Scanned({}, [], [])
    index = 0
    while index < len(line):
        kind = kinds[index]
        if kind is None or kind == "--":
            if kind is None and len(found.words) < words:
                found.words.append(line[index])
            elif kind is None or len(found.words) >= words:
                found.rest.append(line[index])
            index += 1
            continue
        argument, attached = kind
        if argument is None:
            found.rest.append(line[index])
            index += 1
            continue
        index += 1
        if attached is not None:
            found.values[argument.flag] = _attached(argument, attached)
        else:
            values = _following(line, kinds, index, argument.takes)
            found.values[argument.flag] = _taken(argument, values)
            index += len(values)
        if argument.flag in stop_at:
            break
    return found


def _kinds(known: Mapping[str, Argument], line: Sequence[str]) -> list[Any]:
    """For each string: None for a word, "--", or (argument or None, attached value or None)."""
    kinds: list[Any] = []
    for position, text in enumerate(line):
        if text == "--":
            return [*kinds, "--", *[None] * (len(line) - position - 1)]
        kinds.append(_kind(known, text))
    return kinds


def _kind(known: Mapping[str, Argument], text: str) -> Any:
    if len(text) < 2 or text[0] != "-":
        return None
    if text in known:
        return known[text], None
    flag, equals, value = text.partition("=")
    attached = value if equals else None
    if equals and flag in known:
        return known[flag], attached
    long = flag.startswith("--")
    matches = [argument for name, argument in known.items() if long and name.startswith(flag) and not argument.ours]
    if len(matches) > 1:
        names = ", ".join(m.flag for m in matches)
        raise Misuse(f"ambiguous option: {text} could match {names}")
    if matches:
        return matches[0], attached
    if _NEGATIVE.fullmatch(text) or " " in text:
        return None
    return None, None


def _following(line: Sequence[str], kinds: Sequence[Any], index: int, takes: str) -> list[str]:
    limit = {ONE: 1, MAYBE: 1, NONE: 0, MANY: len(line)}[takes]
    values: list[str] = []
    while index < len(line) and len(values) < limit and kinds[index] is None:
        values.append(line[index])
        index += 1
    return values


def _attached(argument: Argument, value: str) -> Any:
    if argument.takes == NONE:
        raise Misuse(f"argument {argument.flag}: ignored explicit argument {value!r}")
    return _taken(argument, [value])


def _taken(argument: Argument, values: list[str]) -> Any:
    if argument.takes == NONE:
        return True
    if argument.takes == MANY:
        return values
    if not values and argument.takes == ONE:
        raise Misuse(f"argument {argument.flag}: expected one argument")
    value = values[0] if values else argument.const
    if argument.choices and value not in argument.choices:
        raise Misuse(invalid_choice(f"argument {argument.flag}", value, argument.choices))
    return value


def invalid_choice(what: str, value: str, choices: Iterable[str]) -> str:
    """AWS's words for a value that is not one of `choices`, with up to three close ones."""
    import difflib

    near = difflib.get_close_matches(value, list(choices), cutoff=0.8)
    text = f"{what}: Found invalid choice '{value}'\n"
    return text + "\nMaybe you meant:\n\n" + "\n".join(f"  * {name}" for name in near) if near else text


def did_you_mean(given: Iterable[str], known: Iterable[str], cutoff: float = 0.6) -> str:
    """ "Did you mean --x?" for the close ones among `known`; empty where nothing is close."""
    import difflib

    names = list(known)
    near = [m for text in given for m in difflib.get_close_matches(text.partition("=")[0], names, 1, cutoff)]
    return f"Did you mean {' '.join(dict.fromkeys(near))}?" if near else ""
