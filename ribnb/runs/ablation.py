"""An ablation: a chapter, the points at which it is run, and the seeds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ribnb.book.chapter_settings import chapter_settings
from ribnb.core.settings import Settings


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
