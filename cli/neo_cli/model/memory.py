"""Memory that nothing uses any more goes back to the system between stages."""

from __future__ import annotations

import ctypes
import functools
import gc
from collections.abc import Callable


def give_back() -> None:
    """Collect cycles (graphs of other libraries are full of them) and let the C library return what is free."""
    gc.collect()
    _trim()(0)


@functools.cache
def _trim() -> Callable[[int], int]:
    """glibc's malloc_trim; nothing elsewhere."""
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return lambda _: 0
    return found
