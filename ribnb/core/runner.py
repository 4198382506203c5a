"""One file for every image of a split: resumable, in several processes, in shards that share it."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ribnb.core.files import read_maps, write_json, write_maps
from ribnb.core.parameters import differences
from ribnb.core.voc import read_mask, write_mask

# What may go wrong with one image, and leaves the others alone.
FAILURES = (OSError, ValueError, RuntimeError, ArithmeticError, MemoryError)
WHOLE = "0/1"  # the shard that is all images
PROGRESS = "RIBNB_PROGRESS"  # the environment's word for where bars go


@dataclass(frozen=True)
class Kind:
    """What a folder holds one file an image of."""

    what: str  # its name in messages
    suffix: str  # of the files <id><suffix>
    record: str  # name of the JSON file that says how they were made
    read: Callable[[Path], Any]  # raises OSError or ValueError unless the file is whole
    write: Callable[[Path, Any], None]  # the file appears only when it is whole
    beside: bool = False  # the record lies beside the folder, not in it

    def home(self, folder: str | Path) -> Path:
        """Where a folder's record lies."""
        return Path(folder).parent if self.beside else Path(folder)


MASKS = Kind("masks", ".png", "masks.json", read_mask, write_mask)
MAPS = Kind("maps", ".npz", "maps.json", read_maps, write_maps, beside=True)


class RecordedFolder:
    """A folder of ``<id><suffix>``, one file an image, and a record of all that decides them.

    The folder is made if it does not exist; the record must be ready for JSON.

    Raises:
        ValueError: the folder holds files that were made otherwise; what differs is named.
        FileNotFoundError: it holds files without a record.
        OSError: the folder cannot be written to.
    """

    def __init__(self, folder: str | Path, kind: Kind, record: Mapping[str, Any]) -> None:
        self.folder, self.kind, self.home = Path(folder), kind, kind.home(folder)
        given = json.loads(json.dumps(record))  # lists for tuples, as it will be read back
        self.folder.mkdir(parents=True, exist_ok=True)
        others = any(self.folder.glob(f"*{kind.suffix}"))  # first: another shard may be beginning
        path = self.home / kind.record
        if not path.exists() and not others:
            write_json(path, given)
            return
        kept = read_record(folder, kind)
        if kept != given:
            different = differences(kept, given) or "its record has other entries"
            raise ValueError(
                f"{self.folder} holds {kind.what} that were made otherwise ({different}). Choose "
                "another output_dir, or move that one away"
            )

    def path(self, image_id: str) -> Path:
        """The file of an image."""
        return self.folder / f"{image_id}{self.kind.suffix}"

    def has(self, image_id: str) -> bool:
        """Whether a whole file is there."""
        try:
            self.kind.read(self.path(image_id))
        except (OSError, ValueError):
            return False
        return True

    def write(self, image_id: str, item: Any) -> None:
        """Write an image's file, whole or not at all; an OSError names it."""
        self.kind.write(self.path(image_id), item)

    def missing(self, ids: Sequence[str]) -> list[str]:
        """Those of the ids without a whole file."""
        return [image_id for image_id in ids if not self.has(image_id)]


def read_record(folder: str | Path, kind: Kind) -> dict[str, Any]:
    """How a folder's files were made; FileNotFoundError or ValueError if it has no whole record."""
    path = kind.home(folder) / kind.record
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: {folder} is no folder of {kind.what}")
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be read ({error}); move {folder} away") from error


@dataclass
class Report:
    """What became of the images of a split, or of one shard of it.

    Attributes:
        folder: where the files are.
        written: ids of the images whose files were made now.
        kept: how many images had whole files already.
        failed: id -> why it has no file; once all shards have ended, of the whole split.
        seconds: for all that was done now.
        pending: how many images of the split the other shards have still to do. Who gets 0 scores
            it; two shards that end at the same moment both do, and write the same.
        what: the files hold.
    """

    folder: Path
    written: list[str] = field(default_factory=list)
    kept: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    pending: int = 0
    what: str = "files"

    def __str__(self) -> str:
        lines = [
            f"{len(self.written)} {self.what} in {self.seconds:.0f} s, {self.kept} were there; "
            f"failed {len(self.failed)}"
        ]
        if self.pending:
            lines.append(f"{self.pending} more are still to be made by other shards")
        return "\n".join(lines + [f"failed: {name}: {why}" for name, why in self.failed.items()])


def over_images(
    make: Callable[[str], Any],
    ids: Sequence[str],
    files: RecordedFolder,
    *,
    label: str = "",
    workers: int = 1,
    threads: int = 1,
    shard: tuple[int, int] = (0, 1),
    missing: Sequence[str] | None = None,
    failures: tuple[type[BaseException], ...] = FAILURES,
) -> Report:
    """Make the files that are not there yet, image by image.

    An image that fails is named in the report, and the rest goes on. A call that was stopped at
    any moment goes on where it was when it is repeated. Several shards, on several machines too,
    may fill one folder; see ``Report.pending`` for who comes last.

    Args:
        make: image id -> what its file holds; with several workers it is pickled.
        ids: of all images of the split, in the same order in every shard.
        files: where the files go.
        label: stands in front of the progress bar.
        workers: processes.
        threads: images at a time in this process, if it works alone.
        shard: (i, n): every n-th image, starting from the i-th.
        missing: ``files.missing`` of this shard's ids, where the caller has looked already.
        failures: exceptions of ``make`` that are one image's own; others end the call.

    Raises:
        ValueError: a shard that does not exist.
        OSError: a file cannot be written.
    """
    start, report = time.perf_counter(), Report(files.folder, what=files.kind.what)
    mine, ended = shard_of(ids, shard), _ended(files.home, shard)
    ended.unlink(missing_ok=True)  # what an earlier call ended with counts no more
    missing = files.missing(mine) if missing is None else missing
    report.kept = len(mine) - len(missing)
    job = partial(_make_one, make, files, failures)
    results = run_jobs(job, missing, workers, chunk=8, threads=threads)
    for name, why in progress(results, label or files.kind.what, len(mine), report.kept):
        if why:
            report.failed[name] = why
        else:
            report.written.append(name)
    report.seconds = time.perf_counter() - start
    if shard[1] > 1:
        ended.parent.mkdir(exist_ok=True)
        write_json(ended, {"failed": report.failed, "seconds": report.seconds})
        report.pending, failed = _unsettled(files, ids)
        report.failed = report.failed if report.pending else failed
    return report


def _make_one(
    make: Callable[[str], Any],
    files: RecordedFolder,
    failures: tuple[type[BaseException], ...],
    name: str,
) -> tuple[str, str]:
    """The image's id, and why it failed, if it did."""
    try:
        item = make(name)
    except failures as error:
        return name, str(error) or type(error).__name__
    files.write(name, item)
    return name, ""


def run_jobs(
    function: Callable[[Any], Any],
    jobs: Sequence[Any],
    workers: int,
    chunk: int = 64,
    threads: int = 1,
) -> Iterator[Any]:
    """The function's results, in the order of the jobs.

    Few jobs get fewer ``workers``, which are processes and take ``chunk`` jobs at a time; with one
    or none this process does them, ``threads`` at a time.
    """
    workers = min(workers, -(-len(jobs) // chunk))
    pool: Executor
    if workers > 1:
        # A fresh process each, since a copy of one that runs threads may hang.
        pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    elif threads > 1:
        pool, chunk = ThreadPoolExecutor(threads), 1
    else:
        yield from map(function, jobs)
        return
    with pool:
        yield from pool.map(function, jobs, chunksize=chunk)


def progress(steps: Iterable | None, label: str, total: int | None = None, done: int = 0) -> tqdm:
    """``steps`` with a bar that vanishes at its end; without steps one to move by hand.

    The ``done`` of ``total`` steps, which an earlier run made, do not count for the time left.

    The environment variable RIBNB_PROGRESS says where: nowhere with ``off``, because a bar's
    carriage returns would stay in a notebook's stored output; into a file with its path, for who
    started this process to show.
    """
    where = os.environ.get(PROGRESS, "")
    options = {"desc": label, "total": total, "initial": done, "leave": False}
    if os.path.isabs(where):
        options["file"] = open(where, "a", encoding="utf-8")  # noqa: SIM115, as long as the bar
    return tqdm(steps, **options, disable=where == "off")


# Shards -----------------------------------------------------------------------------------


def parse_shard(text: str) -> tuple[int, int]:
    """``"0/4"`` as (0, 4); a ValueError for other than i/n with 0 <= i < n."""
    if re.fullmatch(r"[0-9]+/[0-9]+", text):
        index, count = map(int, text.split("/"))
        if index < count:
            return index, count
    raise ValueError(f"shard = {text!r}: it must be i/n with 0 <= i < n, such as 0/4")


def shard_of(ids: Sequence[str], shard: tuple[int, int]) -> list[str]:
    """Every n-th image from the i-th; a ValueError for other than (i, n) with 0 <= i < n."""
    index, count = shard
    if not 0 <= index < count:
        raise ValueError(f"shard must be (i, n) with 0 <= i < n; got {shard}")
    return list(ids[index::count])


def all_ended(home: str | Path, count: int) -> bool:
    """Whether all shards that share a run's folder have ended, whatever became of them."""
    return all(_ended(Path(home), (index, count)).is_file() for index in range(count))


def _ended(home: Path, shard: tuple[int, int]) -> Path:
    """The file that says what became of a shard's images, for the shard that ends last."""
    return home / "shards" / f"{shard[0]}-of-{shard[1]}.json"


def _unsettled(files: RecordedFolder, ids: Sequence[str]) -> tuple[int, dict[str, str]]:
    """How many images have no file that no ended shard has failed at, and why others failed."""
    names = {path.name for path in files.folder.iterdir()}
    without = [image_id for image_id in ids if files.path(image_id).name not in names]
    failed: dict[str, str] = {}
    for path in sorted((files.home / "shards").glob("[0-9]*.json")):
        try:
            failed |= json.loads(path.read_text(encoding="utf-8"))["failed"]
        except FileNotFoundError:
            continue  # that shard has just begun again
    of_these = {image_id: failed[image_id] for image_id in without if image_id in failed}
    return len(without) - len(of_these), of_these
