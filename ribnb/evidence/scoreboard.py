"""The scoreboard: every stage with what was reported, and what our results say of it.

A number of ours comes from a whole result of exactly the settings that its row is planned with;
whatever is missing or does not count is named in its place.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ribnb.core.settings import Settings
from ribnb.core.settings import flat as flat_settings
from ribnb.core.voc import CLASS_NAMES, LIST_COUNTS
from ribnb.evidence.claims import Claim, Side, best, compare, side
from ribnb.evidence.differences import Difference
from ribnb.evidence.reported import OTHERS, reported
from ribnb.evidence.results import AblationResults, Published
from ribnb.evidence.stages import STAGES, Row
from ribnb.runs.results import RESULT, book_folder, flat
from ribnb.scores.image_scores import FILE, load_image_scores

NETS = (3, 4, 5)  # seeds of the scenes' runs, each with a classifier of its own
SCENES: Mapping[str, Mapping[str, Any]] = {  # the runs that the rows are planned with
    "voc_rib": {"variant": "paper", "num_images": 100},
    "voc_masks": {"num_images": 400},
    "voc_segmentation": {},
}
TOYS: Mapping[str, Mapping[str, Any]] = {
    "MNIST": {"digits": "mnist", "seeds": 5},
    "embedded digits": {"digits": "embedded", "seeds": 5},
}
SCORED_ON = {"voc_rib": "train", "voc_masks": "train", "voc_segmentation": "val"}
WHOLE = "0/1"  # the only shard of a split that is not shared out
NOTHING = "–"
COMMIT = re.compile(r"^([0-9a-f]{7})[0-9a-f]*")  # what follows says that there were changes
Result = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """Scores of ours, one a seed, or what is missing.

    Attributes:
        values: in %, in the order of ``sources``.
        sources: the results they come from.
        missing: what is not there, in words; a cell with any shows no number.
        label: settings in which it differs from the other cells of its row.
    """

    values: tuple[float, ...] = ()
    sources: tuple[Result, ...] = ()
    missing: tuple[str, ...] = ()
    label: str = ""

    def __str__(self) -> str:
        if self.missing or not self.values:
            return "; ".join(self.missing) or "not run yet"
        spread = f" ± {statistics.stdev(self.values):.1f}" if len(self.values) > 1 else ""
        label = f" ({self.label})" if self.label else ""
        return f"{statistics.fmean(self.values):.1f}{spread}, n = {len(self.values)}{label}"


@dataclass(frozen=True)
class Board:
    """The results of a folder, as the scoreboard reads them.

    Attributes:
        published: the whole results of settings that this version knows, and the problems.
        chapters: chapter -> the class of its settings.
    """

    published: Published
    chapters: Mapping[str, type[Settings]]

    def run(self, chapter: str, parameters: Mapping[str, Any]) -> Result | None:
        """The result of a chapter with these parameters, if it is there."""
        settings = self.chapters[chapter].from_mapping(parameters)
        return self.published.results.get((chapter, settings.hash()))

    def net(self, chapter: str, seed: int) -> Result | None:
        """The result on scenes that the rows are planned with."""
        return self.run(chapter, {**SCENES[chapter], "seed": seed})

    def scenes(self, row: Row) -> Cell | None:
        """Ours on scenes; None where nothing is planned."""
        if row.scenes is None:
            return None
        chapter, metric = row.scenes
        return _cell({seed: self.net(chapter, seed) for seed in NETS}, chapter, metric)

    def voc(self, row: Row) -> list[Cell] | None:
        """Ours on VOC, a cell for each setting that somebody ran; None where nothing is planned."""
        if row.voc is None:
            return None
        chapter, metric = row.voc
        groups: list[tuple[dict[str, Any], dict[int, Result]]] = []
        for (name, _), result in self.published.results.items():
            if name != chapter or not _for_voc(result) or self._why_not_voc(result):
                continue
            settings = flat_settings(self.chapters[chapter].identity_of(result["settings"]))
            seed = settings.pop("seed")
            group = next((results for own, results in groups if own == settings), None)
            if group is None:
                groups.append((settings, group := {}))
            group[seed] = result
        cells = []
        for own, results in groups:
            varied = [name for name in own if any(own[name] != other[name] for other, _ in groups)]
            label = ", ".join(f"{name} = {own[name]}" for name in varied)
            cells.append(_cell(results, chapter, metric, label))
        return cells

    def not_voc(self) -> dict[str, str]:
        """Path -> why a result with VOC's settings is not one of the whole split of VOC."""
        found = [result for result in self.published.results.values() if _for_voc(result)]
        return {result["path"]: why for result in found if (why := self._why_not_voc(result))}

    def plans(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Chapter and parameters of every run that the page is planned with, ablations aside."""
        for chapter, parameters in SCENES.items():
            for seed in NETS:
                yield chapter, {**parameters, "seed": seed}
        for chapter in ("toy_bottleneck", "rib_loss"):
            for parameters in TOYS.values():
                yield chapter, parameters

    def missing(self) -> dict[str, str]:
        """What the page is planned with and is not there: in words -> the command that makes it."""
        commands = {}
        for chapter, parameters in self.plans():
            if self.run(chapter, parameters) is None:
                given = [f"{name}={value}" for name, value in parameters.items()]
                apart = [str(parameters[name]) for name in ("digits", "seed") if name in parameters]
                folder = f"output_dir=runs/scoreboard/{'_'.join([chapter, *apart])}"
                words = " ".join(f"-p {one}" for one in (*given, folder))
                commands[f"{chapter}: {', '.join(given)}"] = f"ribnb run {chapter} {words}"
        return commands

    def used(self) -> list[Result]:
        """The results behind the table, each once."""
        results: dict[str, Result] = {}
        for stage in STAGES:
            for row in stage.rows:
                for cell in [self.scenes(row), *(self.voc(row) or [])]:
                    for source in cell.sources if cell else ():
                        results.setdefault(source["path"], source)
        return list(results.values())

    def _why_not_voc(self, result: Result) -> str:
        chapter, metrics = result["chapter"], result["metrics"]
        split = SCORED_ON.get(chapter)
        if split is None:
            return ""
        of_networks = metrics.get("val_iou_per_class", {}).values()
        by_class = next(iter(of_networks), result.get("per_class_iou"))
        if set(by_class or ()) - {"background"} != set(CLASS_NAMES):
            return "is of other classes than VOC's"
        if result["split"] != split:
            return f"is scored on {result['split']}; the table is of {split}"
        if result["images"] != LIST_COUNTS[split]:
            return f"is scored on {result['images']} of {LIST_COUNTS[split]} images"
        return ""


def _cell(results: Mapping[int, Result | None], chapter: str, metric: str, label: str = "") -> Cell:
    values, missing = [], []
    for seed, result in results.items():
        value = None if result is None else flat(result["metrics"]).get(metric)
        if result is None:
            missing.append(f"{chapter} of seed {seed} is missing")
        elif value is None:
            missing.append(f"{chapter} of seed {seed} has no {metric}")
        else:
            values.append(value)
    if missing:
        return Cell(missing=tuple(missing), label=label)
    return Cell(tuple(values), tuple(filter(None, results.values())), label=label)


def _for_voc(result: Result) -> bool:
    """Whether a result has VOC's settings; a shard is a part of one, and does not count."""
    settings = result["settings"]
    return settings.get("dataset") == "voc" and settings.get("shard", WHOLE) == WHOLE


# Claims -----------------------------------------------------------------------------------------

# What is compared, chapter, metric and name of RIB's maps or masks and of the CAM's, row reported.
RIB_AND_CAM = (
    ("seeds on 100 scenes, RIB in the paper's variant", "voc_rib",
     ("seed_miou", "seeds"), ("cam_seed_miou", "cam"), "seed"),
    ("seeds", "voc_masks", ("mask_miou.rib", "rib"), ("mask_miou.cam", "cam"), "seed"),
    ("seeds after a dense CRF", "voc_masks",
     ("mask_miou.rib_crf", "rib_crf"), ("mask_miou.cam_crf", "cam_crf"), "crf"),
    ("masks after IRN", "voc_masks",
     ("mask_miou.rib_irn", "rib_irn"), ("mask_miou.cam_irn", "cam_irn"), "irn"),
    ("networks on val, without CRF", "voc_segmentation",
     ("val_miou.rib_irn", "rib_irn"), ("val_miou.cam_irn", "cam_irn"), ""),
    ("networks on val, with CRF", "voc_segmentation",
     ("val_miou.rib_irn_crf", "rib_irn_crf"), ("val_miou.cam_irn_crf", "cam_irn_crf"), ""),
)  # fmt: skip
# What is compared, what the paper says, chapter, and two entries of lists of HGRs of R_ND.
ON_DIGITS = (
    ("HGR of R_ND, the last layer against the one below", "lower: the last layer is the bottleneck",
     "toy_bottleneck", ("hgr", -1), ("hgr", -2)),
    ("HGR of R_ND, after steps of L_RIB against before", "higher", "rib_loss",
     ("rib", -1), ("rib", 0)),
    ("HGR of R_ND, after steps of L_RIB against as many of L_BCE", "higher", "rib_loss",
     ("rib", -1), ("bce", -1)),
)  # fmt: skip


def board_claims(board: Board, found: Mapping[str, AblationResults]) -> list[Claim]:
    """Every claim of the list, in the order of the book, by the one rule of all chapters.

    Args:
        board: the results.
        found: what is there for ablations, by name.
    """
    claims = []
    for asked, paper, chapter, first, second in ON_DIGITS:
        claims += [_on_digits(board, asked, paper, chapter, kind, first, second) for kind in TOYS]
    for asked, chapter, rib, cam, key in RIB_AND_CAM:
        scores = [reported(f"{key} {kind}") for kind in ("rib", "cam")]
        paper = f"higher: {scores[0].score} against {scores[1].score}" if all(scores) else "higher"
        rows = [Row("", "", (chapter, metric), (chapter, metric)) for metric, _ in (rib, cam)]
        pairs = [("RIB against the CAM", *map(board.scenes, rows))]
        for cells in zip(*(board.voc(row) or [] for row in rows), strict=True):
            label = f", {cells[0].label}" if cells[0].label else ""
            pairs.append((f"RIB against the CAM on VOC{label}", *cells))
        for words, *cells in pairs:
            sides = (_side(cell, maps) for cell, (_, maps) in zip(cells, (rib, cam), strict=True))
            claims.append(compare(chapter, f"{asked}: {words}", *sides, paper))
    if "loss" in found:
        losses = [best(found["loss"], loss=loss) for loss in ("rib", "bce")]
        words = "seeds: L_RIB against as many steps of L_BCE, each at its best rate"
        claims.append(compare("loss", words, *losses, "higher"))
    if "tau" in found:
        pair = (side(found["tau"], threshold=tau) for tau in (0.4, 1.0))
        claims.append(compare("tau", "seeds: GNDRP against GAP", *pair, "higher"))
    for pooling, paper in (("gndrp", "not lower"), ("gap", "lower")):
        if "k_and_pooling" in found:
            steps = found["k_and_pooling"]
            pair = (side(steps, pooling=pooling, iterations=k) for k in (20, 5))
            words = f"seeds: K = 20 against K = 5, {pooling.upper()}"
            claims.append(compare("k_and_pooling", words, *pair, paper))
    return claims


def _side(cell: Cell | None, maps: str) -> Side:
    """The scores of a cell's images, where its runs kept them; else their mIoU alone."""
    if cell is None or cell.missing or not cell.values:
        return Side(missing=str(cell or NOTHING))
    folders = [Path(source["path"]).parent for source in cell.sources]
    scores = tuple(load_image_scores(one) for one in folders if (one / FILE).is_file())
    kept = len(scores) == len(folders) and all(maps in one.confusions for one in scores)
    return Side(scores if kept else (), maps=maps, values=cell.values)


def _on_digits(
    board: Board,
    asked: str,
    paper: str,
    chapter: str,
    kind: str,
    first: tuple[str, int],
    second: tuple[str, int],
) -> Claim:
    """Two means over nets; their interval is the one between mean ± standard deviation of each.

    In hundredths, of which results keep mean and standard deviation over the nets only.
    """
    asked, result = f"{asked}, {kind}", board.run(chapter, TOYS[kind])
    if result is None:
        return Claim(chapter, asked, paper, None, f"{chapter} of {kind} is missing")
    (x, dx), (y, dy) = (
        (
            100 * result["metrics"][name]["non_discriminative"][place],
            100 * result["spread"][name]["non_discriminative"][place],
        )
        for name, place in (first, second)
    )
    ends = (x - dx) - (y + dy), (x + dx) - (y - dy)
    return Claim(chapter, asked, paper, Difference(x - y, *ends, (), len(result["seed"])))


# Tables -----------------------------------------------------------------------------------------


def scores_table(board: Board) -> pd.DataFrame:
    """One row for each kind of maps at each stage: what others report, and ours."""
    rows = []
    for stage in STAGES:
        how = [stage.post_processing, stage.threshold and f"threshold: {stage.threshold}"]
        for row in stage.rows:
            on_voc, on_scenes = board.voc(row), board.scenes(row)
            rows.append(
                {
                    "stage": f"{stage.name}, {stage.split}",
                    "post-processing": "; ".join(filter(None, how)),
                    "began with": row.maps,
                    "reported": reported(row.key) or NOTHING,
                    "re-run by others": reported(row.key, OTHERS) or NOTHING,
                    "ours on VOC": NOTHING
                    if on_voc is None
                    else "; ".join(map(str, on_voc)) or str(Cell()),
                    "ours on scenes": on_scenes or NOTHING,
                }
            )
    return pd.DataFrame(rows).astype(str)


def notes(board: Board) -> str:
    """In Markdown: what is left out, missing or not counted, why, and what makes it."""
    lines = [f"- Left out: {path} {why}." for path, why in board.published.problems.items()]
    lines += [f"- Missing: {words}: `{command}`" for words, command in board.missing().items()]
    lines += [f"- Not counted as VOC: {path} {why}." for path, why in board.not_voc().items()]
    text = "\n".join(lines).replace(f"{board.published.folder}/", "")
    return text or "Nothing is missing, stale, broken or edited among the results of this page."


def origins(board: Board) -> pd.DataFrame:
    """Where each result behind the table comes from; those of the book are linked to."""
    return pd.DataFrame(
        {
            "result": _link(board, Path(result["path"])),
            "seed": str(result["seed"]),
            "images": result["images"],
            "commit": COMMIT.sub(r"\1", result.get("git_commit") or "unknown"),
            "device": result["device"],
            "date": str(result["date"])[:10],
            "digest": result["digest"][:12],
        }
        for result in board.used()
    )


def _link(board: Board, path: Path) -> str:
    """A result's folder below that of all; in the book a link, for the pages bring its results."""
    name = path.relative_to(board.published.folder).parent.as_posix()
    if board.published.folder.resolve() != book_folder("results").resolve():
        return name
    return f'<a href="results/{name}/{RESULT}">{name}</a>'
