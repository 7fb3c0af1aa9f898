"""The reading of a line: argparse, on which the AWS CLI stands, is the peer."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neo_cli.entry.scan import MANY, MAYBE, NONE, ONE, Argument, Misuse, scan

ARGUMENTS = [
    Argument("--name"), Argument("--name-contains"), Argument("--tags", MANY), Argument("--color", ONE, ("on", "off")),
    Argument("--skeleton", MAYBE, ("in", "out"), "in"), Argument("--debug", NONE),
]  # fmt: skip
WORDS = st.sampled_from(
    ["--name", "--name-contains", "--name-c", "--na", "--tags", "--tags=x", "--t", "--color", "--color=on", "--color=x",
     "--skeleton", "--skel=out", "--debug", "--d", "--debug=1", "--foo", "--foo=1", "-x", "-1", "-1.5", "-", "on", "out",
     "help", "a b", "-a b", "", "--name=", "--name=--name", "é"]
)  # fmt: skip


class Peer(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Misuse(message)


def peer(line: list[str]) -> tuple[dict[str, Any], list[str]]:
    parser = Peer(add_help=False)
    nargs = {ONE: None, MANY: "*", MAYBE: "?"}
    for a in ARGUMENTS:
        if a.takes == NONE:
            parser.add_argument(a.flag, action="store_true")
        else:
            parser.add_argument(a.flag, nargs=nargs[a.takes], const=a.const, choices=a.choices or None)
    found, rest = parser.parse_known_args(line)
    values = {f"--{k.replace('_', '-')}": v for k, v in vars(found).items() if v not in (None, False)}
    return values, rest


@settings(max_examples=600, deadline=None)
@given(st.lists(WORDS, max_size=7))
def test_a_line_is_read_as_argparse_reads_it(line: list[str]) -> None:
    try:
        wanted: Any = peer(line)
    except Misuse:
        with pytest.raises(Misuse):
            scan(ARGUMENTS, line)
        return
    found = scan(ARGUMENTS, line)
    assert (found.values, found.rest) == wanted


def test_words_are_taken_before_they_are_left_over() -> None:
    found = scan(ARGUMENTS, ["--name", "x", "describe", "--foo", "more"], words=1)
    assert (found.words, found.rest) == (["describe"], ["--foo", "more"])


def test_two_dashes_end_the_options() -> None:
    found = scan(ARGUMENTS, ["describe", "--", "--name", "x"], words=1)
    assert (found.values, found.words, found.rest) == ({}, ["describe"], ["--", "--name", "x"])


def test_the_last_one_wins() -> None:
    assert scan(ARGUMENTS, ["--tags", "a", "b", "--tags", "c"]).values == {"--tags": ["c"]}


def test_an_ambiguous_prefix_names_what_it_could_be() -> None:
    with pytest.raises(Misuse, match="ambiguous option: --n could match --name, --name-contains"):
        scan(ARGUMENTS, ["--n", "x"])
