"""An ablation's file on its way to an ablation: what is checked, and said with its line."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ribnb.book.chapter_settings import WHERE, settings_class
from ribnb.core.settings import Settings, SettingsError, merged, nested
from ribnb.core.settings_files import for_chapter
from ribnb.core.yaml_lines import Place, read_with_lines
from ribnb.runs.ablation import Ablation, Point
from ribnb.runs.results import FOLDER
from ribnb.runs.sweep_trial import BENEATH, Trial

KEYS = ("name", "chapter", "question", "parameters", "grid", "cases", "seeds")
# What the batch gives each run itself, and where a reader can say it.
OF_THE_BATCH = {
    "seed": "list it under `seeds`",
    "output_dir": "each run has a folder of its own",
    "shard": "the batch shares out the images",
    "device": "say it in the batch's own settings file",
    "workers": "say it in the batch's own settings file",
}
_NOTHING = object()


class SweepFile:
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
        Trial(self, ablation, beneath).run([places for _, places in points])
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
        if _sweepable(chapter):
            return kind
        why = (
            "has no parameter 'seed': one run of it is already the mean over several nets"
            if FOLDER in kind.model_fields
            else "reads results and leaves none"
        )
        able = ", ".join(filter(_sweepable, WHERE))
        self.refuse(line, f"the chapter {chapter} {why}. An ablation's chapter is one of {able}")
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
        """Every name by itself; the values are tried with the others."""
        chapter = self.values["chapter"]
        for place, _ in given:
            name = str(place[1] if place[0] != "cases" else place[2])
            line = self.lines.at(*place[: 3 if place[0] == "cases" else 2])
            if name in OF_THE_BATCH:
                self.refuse(line, f"{name} is the batch's to give; {OF_THE_BATCH[name]}")
            elif name.split(".")[0] not in kind.model_fields:
                near = _nearest(name, kind.model_fields)
                self.refuse(line, f"the chapter {chapter} has no parameter {name!r}; {near}")


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
            label = {name.rpartition(".")[2]: value for name, value in chosen.items()}
            label = label if case is None else {"case": case, **label}
            origins: dict[str, Place] = {
                **{name: ("parameters", name) for name in parts["parameters"]},
                **{name: ("cases", case, name) for name in own or {}},
                **{name: ("grid", name, i) for name, i in zip(grid, places, strict=True)},
            }
            layers = (parts["parameters"], own or {}, chosen)
            yield Point(label, merged(beneath, *map(nested, layers))), origins


def _same(one: Any, other: Any) -> bool:
    """Equal, where True is not 1."""
    return one == other and (type(one) is bool) == (type(other) is bool)


def _sweepable(chapter: str) -> bool:
    """Whether a chapter leaves a result, of one seed."""
    return {"seed", FOLDER} <= settings_class(chapter).model_fields.keys()


def _nearest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"there is {', '.join(known)}"
