"""Between stages, what nothing uses is gone."""

import gc
import weakref

from neo_cli.model import memory


class Node:
    """A part of a cycle."""

    def __init__(self) -> None:
        self.me = self


def test_cycles_are_collected_on_every_system() -> None:
    gc.disable()
    try:
        seen = weakref.ref(Node())
        assert seen() is not None
        memory.give_back()
        assert seen() is None
    finally:
        gc.enable()
