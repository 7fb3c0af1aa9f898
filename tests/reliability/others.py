"""What other users of this machine may enter: tests that drop root's rights need the packages and the tests themselves."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def locked_out() -> str:
    """The first folder on the way to the environment or the tests that only its owner may enter; empty when none is."""
    places = [TESTS] if sys.prefix == sys.base_prefix else [TESTS, Path(sys.prefix)]
    for place in places:
        for folder in reversed((place, *place.parents)):
            if not folder.stat().st_mode & 0o001:
                return str(folder)
    return ""
