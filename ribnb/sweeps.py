"""Ablations: YAML files that say with which parameters and seeds a chapter is to be run.

    name: k_and_pooling            # that of the file
    chapter: voc_rib
    question: one sentence         # optional
    parameters: {variant: paper}   # of every point; optional
    grid: {pooling: [gndrp, gap], iterations: [1, 2, 5]}   # every combination
    cases:                         # named points; with a grid, each with every combination
      the paper: {}
      a stop at the margin: {margin_rule: stop}
    seeds: [3, 4, 5]

From the command line, what they would run, or everything that is wrong with them::

    python -m ribnb.sweeps book/settings/ablations
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import itertools
import re
import sys
import typing
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ribnb.chapter_settings import WHERE, chapter_settings, settings_class
from ribnb.settings import Settings, SettingsError
from ribnb.settings_files import for_chapter
from ribnb.yaml_lines import Place, read_with_lines

FOLDER = Path(__file__).resolve().parents[1] / "book" / "settings" / "ablations"
KEYS = ("name", "chapter", "question", "parameters", "grid", "cases", "seeds")
SUFFIXES = (".yml", ".yaml")
# What the batch gives each run itself, and where a reader can say it.
OF_THE_BATCH = {
    "seed": "list it under `seeds`",
    "output_dir": "each run has a folder of its own",
    "shard": "the batch shares out the images",
    "device": "say it in the batch's own settings file",
    "workers": "say it in the batch's own settings file",
}
MOST = 10  # combinations of one file that are named as wrong
BENEATH = "the parameters beneath the ablations"  # which are of no line of theirs


@dataclass(frozen=True)
class Point:
    """One set of parameters of an ablation, to be run with each seed.

    Attributes:
        label: what varies: the name of the case as ``"case"``, if there are cases, and the
            grid's values.
        parameters: all that the chapter is given beside its seed, with what lies beneath.
    """

    label: dict[str, Any]
    parameters: dict[str, Any]

    def __str__(self) -> str:
        return ", ".join(f"{name} = {value!r}" for name, value in self.label.items())


@dataclass(frozen=True)
class Ablation:
    """What an ablation's file says.

    Attributes:
        name: that of the file, without its ending.
        path: the file.
        chapter: which chapter is run.
        question: what it asks, in words; may be empty.
        parameters: those of every point, without what lies beneath.
        points: each to be run with every seed.
        seeds: the seeds.
    """

    name: str
    path: Path
    chapter: str
    question: str
    parameters: dict[str, Any]
    points: tuple[Point, ...]
    seeds: tuple[int, ...]

    @property
    def varied(self) -> tuple[str, ...]:
        """Names of what varies, those of each point's ``label``."""
        return tuple(self.points[0].label)

    def settings(self, point: Point, seed: int) -> Settings:
        """The chapter's settings at a point."""
        return chapter_settings(self.chapter, {**point.parameters, "seed": seed})


def read_ablation(path: str | Path, common: Mapping[str, Any] | None = None) -> Ablation:
    """Read an ablation's file, and refuse whatever could only fail once it runs.

    Args:
        path: the file.
        common: parameters that lie beneath the file's own, such as a batch's; a mapping among
            them is the section of one chapter, see ``ribnb.settings_files``.

    Raises:
        SettingsError: one line, ``FILE:LINE: what, and what to do``, for each thing wrong.
    """
    return _Reading(Path(path), common or {}).ablation()


def read_ablations(
    where: str | Path | Iterable[str | Path], common: Mapping[str, Any] | None = None
) -> dict[str, Ablation]:
    """Ablations by name, sorted by their files' names.

    Args:
        where: a folder, whose ``*.yml`` and ``*.yaml`` are read; or files and folders.
        common: see ``read_ablation``.

    Raises:
        SettingsError: what is wrong with any of them, a line each; two of one name (capital or
            small); a folder without any.
    """
    errors: list[str] = []
    ablations: dict[str, Ablation] = {}
    first: dict[str, Path] = {}
    for path in sorted(_files(where, errors), key=lambda path: (path.name, path)):
        other = first.setdefault(path.stem.lower(), path)
        if other != path:  # not by the names within, which are those of the files
            errors.append(f"{path}:1: the name {path.stem!r} is taken by {other}; rename one")
        try:
            ablations[path.stem] = read_ablation(path, common)
        except SettingsError as error:
            errors += str(error).splitlines()
    if errors:
        raise SettingsError("\n".join(dict.fromkeys(errors)))
    return ablations


def distinct_runs(ablations: Iterable[Ablation]) -> int:
    """How many runs there are in all, when those of the same settings are one."""
    return len(
        {
            (ablation.chapter, ablation.settings(point, seed).hash())
            for ablation in ablations
            for point in ablation.points
            for seed in ablation.seeds
        }
    )


def _files(where: str | Path | Iterable[str | Path], errors: list[str]) -> list[Path]:
    """The files, each once."""
    found: dict[Path, Path] = {}
    for path in map(Path, [where] if isinstance(where, str | Path) else where):
        inside = [path]
        if path.is_dir():
            inside = [file for file in path.iterdir() if file.suffix in SUFFIXES]
            if not inside:
                errors.append(f"{path}: there is no ablation (*.yml) in this folder")
        for file in inside:
            found.setdefault(file.resolve(), file)
    return list(found.values())


class _Reading:
    """One file on its way to an ablation: checks, and what they found."""

    def __init__(self, path: Path, beneath: Mapping[str, Any]) -> None:
        self.path, self.beneath = path, beneath
        self.errors: dict[tuple[int, str], None] = {}  # each once
        values, self.lines = read_with_lines(path)
        if not isinstance(values, dict):
            self.refuse(1, f"must be a mapping, with {', '.join(KEYS)}")
            self.stop()
        self.values: dict[str, Any] = values

    def refuse(self, line: int, what: str) -> None:
        self.errors[line, what] = None

    def stop(self) -> None:
        """Raise if there is an error; what follows would only repeat it."""
        if self.errors:
            in_order = sorted(self.errors, key=lambda error: error[0])
            said = (f"{self.path}:{line}: {what}" for line, what in in_order)
            raise SettingsError("\n".join(said))

    def ablation(self) -> Ablation:
        self.check_keys()
        self.check_name()
        kind = self.settings_class()
        seeds = self.seeds()
        parts = {key: self.mapping(key) for key in ("parameters", "grid", "cases")}
        if "grid" not in self.values and "cases" not in self.values:
            self.refuse(1, "there is neither a grid nor cases; say what is to vary")
        given = [
            *((("parameters", name), value) for name, value in parts["parameters"].items()),
            *self.grid_values(parts),
            *self.case_values(parts),
        ]
        if kind is not None:
            self.check_values(kind, given)
        self.stop()
        chapter = self.values["chapter"]
        try:
            beneath = for_chapter(self.beneath, chapter, WHERE)
        except SettingsError as error:
            raise SettingsError(f"{BENEATH}: {error}") from None
        points = list(_points(parts, beneath))
        ablation = Ablation(
            name=self.values["name"],
            path=self.path,
            chapter=chapter,
            question=self.values.get("question") or "",
            parameters=parts["parameters"],
            points=tuple(point for point, _ in points),
            seeds=tuple(seeds),
        )
        _Trial(self, ablation, beneath).run([places for _, places in points])
        self.stop()
        return ablation

    def check_keys(self) -> None:
        for key in self.values:
            if key not in KEYS:
                self.refuse(
                    self.lines.at(key), f"an ablation has no {key!r}; {_nearest(key, KEYS)}"
                )
        for key in ("name", "chapter", "seeds"):
            if key not in self.values:
                self.refuse(1, f"there is no `{key}:`; add it")
        question = self.values.get("question")
        if question is not None and not isinstance(question, str):
            self.refuse(self.lines.value("question"), f"question = {question!r} must be text")

    def check_name(self) -> None:
        name, stem, line = self.values.get("name"), self.path.stem, self.lines.value("name")
        if "name" not in self.values:
            return
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_]+", name):
            self.refuse(line, f"name = {name!r} must be text of letters, digits and _ only")
        elif name != stem:
            self.refuse(
                line, f"name = {name!r} is not the file's, {stem!r}; rename the one or the other"
            )

    def settings_class(self) -> type[Settings] | None:
        """Of the chapter; None, with an error, if it is none that can be run."""
        chapter, line = self.values.get("chapter"), self.lines.value("chapter")
        if "chapter" not in self.values:
            return None
        if not isinstance(chapter, str) or chapter not in WHERE:
            near = _nearest(str(chapter), WHERE)
            self.refuse(line, f"there is no chapter {chapter!r} with parameters; {near}")
            return None
        kind = settings_class(chapter)
        if "seed" in kind.__dataclass_fields__:
            return kind
        able = [c for c in WHERE if "seed" in settings_class(c).__dataclass_fields__]
        self.refuse(
            line,
            f"the chapter {chapter} has no parameter 'seed': one run of it is already the mean "
            f"over several nets. An ablation's chapter is one of {', '.join(able)}",
        )
        return None

    def seeds(self) -> list[int]:
        seeds = self.values.get("seeds")
        if "seeds" not in self.values:
            return []
        if not isinstance(seeds, list) or not seeds:
            self.refuse(self.lines.at("seeds"), f"seeds = {seeds!r} must be a list, as [3, 4, 5]")
            return []
        for i, seed in enumerate(seeds):
            line = self.lines.at("seeds", i)
            if type(seed) is not int or seed < 0:
                self.refuse(line, f"seeds: {seed!r} must be a whole number from 0")
            elif any(_same(seed, other) for other in seeds[:i]):
                self.refuse(line, f"seeds: {seed} stands there twice; leave one")
        return seeds

    def mapping(self, key: str) -> dict[str, Any]:
        """The mapping below a key; with an error, {} for what is none or may not be empty."""
        value = self.values.get(key)
        if isinstance(value, dict) and (value or key == "parameters"):
            return value
        if key in self.values and not (value is None and key == "parameters"):
            what = "is empty" if value in (None, {}) else "must be a mapping of names"
            self.refuse(self.lines.at(key), f"{key} {what}; fill it, or leave it out")
        return {}

    def grid_values(self, parts: Mapping[str, dict]) -> Iterable[tuple[Place, Any]]:
        for name, values in parts["grid"].items():
            line = self.lines.at("grid", name)
            if name in parts["parameters"]:
                there = self.lines.at("parameters", name)
                self.refuse(line, f"{name} is also in parameters (line {there}); leave one")
            if not isinstance(values, list) or not values:
                self.refuse(line, f"grid: {name} = {values!r} must be a list of at least one value")
                yield ("grid", name), _NOTHING
                continue
            for i, value in enumerate(values):
                if any(_same(value, other) for other in values[:i]):
                    line = self.lines.at("grid", name, i)
                    self.refuse(line, f"grid: {name} = {value!r} stands there twice; leave one")
                else:
                    yield ("grid", name, i), value

    def case_values(self, parts: Mapping[str, dict]) -> Iterable[tuple[Place, Any]]:
        for case, values in parts["cases"].items():
            if values is not None and not isinstance(values, dict):
                line = self.lines.at("cases", case)
                self.refuse(
                    line, f"case {case!r} must be a mapping of parameters, {{}} for none of its own"
                )
                continue
            for name, value in (values or {}).items():
                if name in parts["grid"]:
                    there = self.lines.at("grid", name)
                    line = self.lines.at("cases", case, name)
                    self.refuse(line, f"{name} is also in the grid (line {there}); leave one")
                yield ("cases", case, name), value

    def check_values(self, kind: type[Settings], given: Iterable[tuple[Place, Any]]) -> None:
        """Every name and every value by itself."""
        hints, chapter = typing.get_type_hints(kind), self.values["chapter"]
        for place, value in given:
            name = str(place[1] if place[0] != "cases" else place[2])
            line = self.lines.at(*place[: 3 if place[0] == "cases" else 2])
            if name in OF_THE_BATCH:
                self.refuse(line, f"{name} is the batch's to give; {OF_THE_BATCH[name]}")
            elif name not in kind.__dataclass_fields__:
                near = _nearest(name, kind.__dataclass_fields__)
                self.refuse(line, f"the chapter {chapter} has no parameter {name!r}; {near}")
            elif value is not _NOTHING:
                wrong = _wrong(kind.__dataclass_fields__[name], hints[name], value)
                if wrong:
                    self.refuse(self.lines.value(*place), wrong)


class _Trial:
    """Builds the settings of every run, and finds what is to blame where they are refused."""

    def __init__(self, file: _Reading, ablation: Ablation, beneath: dict[str, Any]) -> None:
        self.file, self.ablation, self.beneath = file, ablation, beneath
        self.runs: Counter[Place] = Counter()  # with the value at each place
        self.failures: Counter[Place] = Counter()  # of them

    def run(self, origins: Sequence[Mapping[str, Place]]) -> None:
        """``origins``: for each point, where its parameters stand."""
        failed = []
        for point, parameters in zip(self.ablation.points, origins, strict=True):
            for i, seed in enumerate(self.ablation.seeds):
                places = {**parameters, "seed": ("seeds", i)}
                self.runs.update(places.values())
                given = {**point.parameters, "seed": seed}
                why = self.refused(given)
                if why:
                    self.failures.update(places.values())
                    failed.append((point, given, places, why))
        wrong = list(dict.fromkeys(self.blamed(*one) for one in failed))
        for line, what in wrong[:MOST]:
            self.file.refuse(line, what)
        if wrong[MOST:]:
            self.file.refuse(wrong[MOST][0], f"and {len(wrong) - MOST} more are refused alike")
        if not failed:
            self.refuse_equal_points()

    def refused(self, parameters: Mapping[str, Any]) -> str:
        """Why the chapter refuses these; empty if it does not."""
        try:
            chapter_settings(self.ablation.chapter, parameters)
        except (ValueError, OSError) as error:
            return str(error)
        return ""

    def blamed(
        self, point: Point, given: dict[str, Any], places: Mapping[str, Place], why: str
    ) -> tuple[int, str]:
        """Line and words of what is to blame for a run: one value, or the combination."""
        if self.refused(self.beneath) == why:
            raise SettingsError(f"{BENEATH}, for {self.ablation.chapter}: {why}")
        # One value, if it alone makes the difference, and does so wherever it occurs.
        cures = [
            place
            for name, place in places.items()
            if not self.refused({k: v for k, v in given.items() if k != name})
        ]
        if len(cures) == 1 and self.failures[cures[0]] == self.runs[cures[0]]:
            return self.file.lines.value(*cures[0]), why
        return self.line_of(point), f"the point ({point}): {why}"

    def refuse_equal_points(self) -> None:
        seen: dict[str, Point] = {}
        for point in self.ablation.points:
            other = seen.setdefault(
                self.ablation.settings(point, self.ablation.seeds[0]).hash(), point
            )
            if other is not point:
                self.file.refuse(
                    self.line_of(point),
                    f"the points ({other}) and ({point}) come to the same settings; leave one",
                )
                return  # two equal cases are equal at every combination

    def line_of(self, point: Point) -> int:
        case = point.label.get("case")
        return self.file.lines.at(*(["grid"] if case is None else ["cases", case]))


_NOTHING = object()


def _points(
    parts: Mapping[str, dict], beneath: Mapping[str, Any]
) -> Iterable[tuple[Point, dict[str, Place]]]:
    """Every case with every combination, and where each parameter stands."""
    grid: dict[str, list] = parts["grid"]
    for case, own in (parts["cases"] or {None: {}}).items():
        for places in itertools.product(*(range(len(values)) for values in grid.values())):
            chosen = {
                name: values[i] for (name, values), i in zip(grid.items(), places, strict=True)
            }
            label = chosen if case is None else {"case": case, **chosen}
            origins: dict[str, Place] = {
                **{name: ("parameters", name) for name in parts["parameters"]},
                **{name: ("cases", case, name) for name in own or {}},
                **{name: ("grid", name, i) for name, i in zip(grid, places, strict=True)},
            }
            yield Point(label, {**beneath, **parts["parameters"], **(own or {}), **chosen}), origins


def _wrong(field: dataclasses.Field, hint: Any, value: Any) -> str:
    """What is wrong with a field's value by itself; empty if nothing is."""
    alone = dataclasses.field(default=None, metadata=field.metadata)
    kind = dataclasses.make_dataclass(
        "One", [(field.name, hint, alone)], bases=(Settings,), frozen=True
    )
    try:
        kind(**{field.name: value})
    except SettingsError as error:
        return str(error)
    return ""


def _same(one: Any, other: Any) -> bool:
    """Equal, where True is not 1."""
    return one == other and (type(one) is bool) == (type(other) is bool)


def _nearest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"there is {', '.join(known)}"


def main(words: Sequence[str] | None = None) -> int:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m ribnb.sweeps", description="Check ablations and say what they would run."
    )
    parser.add_argument("files", nargs="*", default=[FOLDER], help=f"or folders; default: {FOLDER}")
    parser.add_argument("--points", action="store_true", help="also every point of each")
    arguments = parser.parse_args(words)
    try:
        ablations = read_ablations(arguments.files)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    width = max(map(len, ablations))
    for ablation in ablations.values():
        points, seeds = len(ablation.points), ablation.seeds
        print(
            f"{ablation.name:{width}}  {ablation.chapter}  {points} points x seeds "
            f"{', '.join(map(str, seeds))} = {points * len(seeds)} runs"
        )
        if arguments.points:
            print("".join(f"  {point}\n" for point in ablation.points), end="")
    print(f"{distinct_runs(ablations.values())} runs in all, those of equal settings once")
    return 0


if __name__ == "__main__":
    sys.exit(main())
