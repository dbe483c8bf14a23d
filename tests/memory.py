"""How much memory something keeps."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable


def bytes_kept(work: Callable[[], object]) -> int:
    """Return how many bytes more are in use after some work, whose result is let go of after that only."""
    tracemalloc.start()
    try:
        result = work()
        kept, _ = tracemalloc.get_traced_memory()
        del result
    finally:
        tracemalloc.stop()
    return kept
