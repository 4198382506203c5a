"""One function over many files, in this process or in several."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_jobs(
    function: Callable[[Job], Result], jobs: Sequence[Job], workers: int, chunk: int = 64
) -> Iterator[Result]:
    """The function's results, in the order of the jobs.

    Args:
        function: at the top level of a module, if there are several workers.
        jobs: its arguments.
        workers: processes; few jobs get fewer.
        chunk: jobs that a process takes at a time.

    Raises:
        ValueError: less than one worker.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1; got {workers}")
    workers = min(workers, -(-len(jobs) // chunk))
    if workers <= 1:
        yield from map(function, jobs)
        return
    # A fresh process each, since a copy of one that runs threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(function, jobs, chunksize=chunk)
