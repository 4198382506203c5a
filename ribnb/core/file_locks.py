"""Locks that end with the process that holds them, however it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def hold(path: str | Path, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of a file; says whether it could be had.

    The system gives the lock back when the process ends, so none is left by one that was killed.

    Args:
        path: made if it is not there; its folder must be.
        wait: until another process gives it back; else False comes at once.
    """
    try:
        import fcntl
    except ImportError:  # Windows: nobody is kept out
        yield True
        return
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        except OSError:
            pass  # some network file systems know no locks
        yield True
