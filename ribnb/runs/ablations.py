"""Ablations: YAML files that say with which parameters and seeds a chapter is to be run.

    name: k_and_pooling            # that of the file
    chapter: voc_rib
    question: one sentence         # optional
    parameters: {variant: paper}   # of every point; optional
    grid: {rib.pooling: [gndrp, gap], rib.iterations: [1, 2, 5]}   # every combination
    cases:                         # named points; with a grid, each with every combination
      the paper: {}
      a stop at the margin: {rib.margin_rule: stop}
    seeds: [3, 4, 5]

Whatever could only fail once it runs is refused when such a file is read.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PrivateAttr

from ribnb.core.parameters import flat, merged, nested
from ribnb.core.settings import (
    Settings,
    SettingsError,
    read_settings_file,
    refuse_unknown,
    said_of,
    setting,
)

FOLDER = Path("book") / "settings" / "ablations"  # in the repository, where a batch runs
# What the batch gives each run itself: from `seeds`, or from its own settings file.
OF_THE_BATCH = ("seed", "output_dir", "shard", "device", "workers")
Chapters = Mapping[str, type[Settings]]
SettingsOf = Callable[[str, Mapping[str, Any]], Settings]


@dataclass(frozen=True)
class Point:
    """One set of parameters of an ablation, to be run with each seed."""

    label: dict[str, Any]  # the case, if there are any, and the grid's values by their short names
    parameters: dict[str, Any]  # all that the file gives the chapter beside its seed, by group

    def __str__(self) -> str:
        return ", ".join(f"{name} = {value!r}" for name, value in self.label.items())


class Ablation(Settings):
    """What an ablation's file holds."""

    name: str = setting("", "that of the file: letters, digits and _", pattern="^[A-Za-z0-9_]+$")
    chapter: str = setting("", "the chapter to run")
    question: str = setting("", "what it asks, in words")
    parameters: dict[str, Any] = setting({}, "of every point")
    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] = setting(
        {}, "parameter to its values, of which every combination is run"
    )
    cases: dict[str, dict[str, Any] | None] = setting({}, "name of a point to its parameters")
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = setting((), "random seeds", min_length=1)
    _settings_of: SettingsOf = PrivateAttr()

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """Every case with every combination; a label has the last part of a name that is alone."""
        ends = [name.rpartition(".")[2] for name in self.grid]
        short = [
            end if ends.count(end) == 1 else name for name, end in zip(self.grid, ends, strict=True)
        ]
        points = []
        for case, own in (self.cases or {None: {}}).items():
            for values in itertools.product(*self.grid.values()):
                label = {} if case is None else {"case": case}
                label |= zip(short, values, strict=True)
                chosen = dict(zip(self.grid, values, strict=True))
                given = merged(*map(nested, (self.parameters, own or {}, chosen)))
                points.append(Point(label, given))
        return tuple(points)

    @property
    def runs(self) -> Iterator[tuple[Point, int, dict[str, Any]]]:
        """Every point with every seed, and the chapter's parameters."""
        for seed, point in itertools.product(self.seeds, self.points):
            yield point, seed, {**point.parameters, "seed": seed}

    def settings(self, point: Point, seed: int) -> Settings:
        """The chapter's settings at a point."""
        return self._settings_of(self.chapter, {**point.parameters, "seed": seed})


def read_ablation(
    path: str | Path,
    chapters: Chapters,
    settings_of: SettingsOf | None = None,
) -> Ablation:
    """Read an ablation's file, and refuse whatever could only fail once it runs.

    Args:
        path: the file.
        chapters: chapter -> the class of its settings.
        settings_of: the settings of a chapter with these parameters, where they stand on those of
            a batch.

    Raises:
        FileNotFoundError: there is no such file.
        SettingsError: a line, ``FILE: what, and what to do``, for each thing wrong.
    """
    path = Path(path)
    values = read_settings_file(path)
    with said_of(path):
        ablation = Ablation.from_mapping(values)
        ablation._settings_of = settings_of or (lambda name, own: chapters[name].from_mapping(own))
        _check_head(ablation, path, chapters)
        _check_runs(ablation)
    return ablation


def read_ablations(
    where: str | Path | Iterable[Path],
    chapters: Chapters,
    settings_of: SettingsOf | None = None,
) -> dict[str, Ablation]:
    """Ablations by name, of a folder's ``*.yml`` or of files; errors as of ``read_ablation``."""
    files = Path(where).glob("*.yml") if isinstance(where, str | Path) else where
    ablations: dict[str, Ablation] = {}
    for path in sorted(files, key=lambda path: (path.name, path)):
        if path.stem in ablations:
            raise SettingsError(f"{path}: there is another ablation of this name; rename one")
        ablations[path.stem] = read_ablation(path, chapters, settings_of)
    return ablations


def _check_head(file: Ablation, path: Path, chapters: Chapters) -> None:
    """All that can be said without the chapter's settings."""
    if file.name != path.stem:
        raise SettingsError(f"name = {file.name!r} is not the file's, {path.stem!r}; rename one")
    able = [
        name for name, kind in chapters.items() if {"seed", "output_dir"} <= {*kind.model_fields}
    ]
    refuse_unknown([file.chapter], able, "an ablation (for a chapter with results of one seed)")
    if not file.grid and not file.cases:
        raise SettingsError("there is neither a grid nor cases; say what is to vary")
    for given in (file.parameters, file.grid, *file.cases.values()):
        for name in flat(nested(given or {})):
            if name in OF_THE_BATCH:
                raise SettingsError(f"{name} is the batch's to give, and `seeds` are listed apart")


def _check_runs(ablation: Ablation) -> None:
    """Try every run's settings."""
    hashes: dict[str, Point] = {}
    for point, seed, _ in ablation.runs:
        with said_of(f"the point ({point})"):
            same = ablation.settings(point, seed).hash()
        if same in hashes:
            raise SettingsError(
                f"the points ({hashes[same]}) and ({point}) come to the same settings with seed "
                f"{seed}; leave one"
            )
        hashes[same] = point
