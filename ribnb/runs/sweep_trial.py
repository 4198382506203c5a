"""The settings of every run of an ablation, tried before any is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ribnb.book.chapter_settings import chapter_settings
from ribnb.core.settings import SettingsError, flat, nested
from ribnb.core.yaml_lines import Place
from ribnb.runs.ablation import Ablation, Point

if TYPE_CHECKING:
    from ribnb.runs.sweep_file import SweepFile

MOST = 10  # combinations of one file that are named as wrong
BENEATH = "the parameters beneath the ablations"  # which are of no line of theirs


class Trial:
    """Builds the settings of every run, and finds what is to blame where they are refused."""

    def __init__(self, file: SweepFile, ablation: Ablation, beneath: dict[str, Any]) -> None:
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
            if not self.refused(_without(given, name))
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


def _without(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The parameters without one, which may be dotted, or a group."""
    kept = {k: v for k, v in flat(given).items() if k != name and not k.startswith(f"{name}.")}
    return nested(kept)
