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

from ribnb.core.parameters import flat
from ribnb.core.runner import WHOLE
from ribnb.core.settings import Settings, for_chapter, read_settings_file
from ribnb.core.voc import CLASS_NAMES, LIST_COUNTS
from ribnb.evidence.claims import Claim, Side, best_losses, compare, side
from ribnb.evidence.differences import Difference
from ribnb.evidence.results import AblationResults, Published
from ribnb.evidence.stages import NONE, ROWS, Source
from ribnb.runs.results import RESULT, book_folder
from ribnb.scores.image_scores import FILE, METRICS, load_image_scores

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
PLANNED: list[tuple[str, Mapping[str, Any]]] = [
    *((name, {**given, "seed": seed}) for name, given in SCENES.items() for seed in NETS),
    *((name, toy) for name in ("toy_bottleneck", "rib_loss") for toy in TOYS.values()),
]
PHOTOGRAPHS, PHOTO_NETS = "voc_animals.yml", (0, 1, 2)  # the runs on photographs, and their nets
NOT_RUN = "not run yet"
SCORED_ON = {"voc_rib": "train", "voc_masks": "train", "voc_segmentation": "val"}
COMMIT = re.compile(r"^([0-9a-f]{7})[0-9a-f]*")  # what follows says that there were changes
Result = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """Scores of ours, one a seed, or what is missing.

    Attributes:
        results: the results they come from.
        values: in %, in the order of ``results``.
        missing: what is not there, in words; a cell with any shows no number.
        label: settings in which it differs from the other cells of its row.
    """

    results: tuple[Result, ...]
    values: tuple[float, ...]
    missing: str = ""
    label: str = ""

    def __str__(self) -> str:
        if self.missing:
            return self.missing
        spread = f" ± {statistics.stdev(self.values):.1f}" if len(self.values) > 1 else ""
        label = f" ({self.label})" if self.label else ""
        return f"{statistics.fmean(self.values):.1f}{spread}, n = {len(self.values)}{label}"

    def side(self, maps: str) -> Side:
        """The scores of its images, as far as its runs kept them."""
        folders = [Path(result["path"]).parent for result in self.results]
        scores = tuple(load_image_scores(each) for each in folders if (each / FILE).is_file())
        kept = len(scores) == len(folders) and all(maps in each.confusions for each in scores)
        missing = self.missing or ("" if kept else f"no scores of the images in {maps}")
        return Side(scores if kept else (), missing, maps=maps)


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

    def scenes(self, source: Source) -> Cell:
        """Ours on scenes, of the runs that the rows are planned with."""
        given = SCENES[source[0]]
        return _cell({seed: self.run(source[0], {**given, "seed": seed}) for seed in NETS}, source)

    def photographs(self, source: Source) -> Cell:
        """Ours on VOC 2012's five animals at 320 px, of those of its nets that ran."""
        values = read_settings_file(book_folder("settings") / PHOTOGRAPHS)
        given = for_chapter(values, source[0], self.chapters)
        runs = {seed: self.run(source[0], {**given, "seed": seed}) for seed in PHOTO_NETS}
        found = {seed: result for seed, result in runs.items() if result}
        return _cell(found, source) if found else Cell((), (), NOT_RUN)

    def voc(self, source: Source) -> list[Cell]:
        """Ours on VOC, a cell for each setting that somebody ran."""
        kind, groups = self.chapters[source[0]], {}
        results = [result for result in self.vocs(source[0]) if not why_not_voc(result)]
        settings = [flat(kind.identity_of(result["settings"])) for result in results]
        values = pd.DataFrame(settings).drop(columns="seed", errors="ignore").astype(str)
        varied = values.columns[values.nunique() > 1]
        for own, result in zip(settings, results, strict=True):
            label = ", ".join(f"{name} = {own[name]}" for name in varied)
            groups.setdefault(label, {})[own["seed"]] = result
        return [_cell(results, source, label) for label, results in groups.items()]

    def vocs(self, *chapters: str) -> list[Result]:
        """Results that are to be of VOC; a shard is a part of one, and does not count."""
        whole = {"dataset": "voc", "shard": WHOLE}.items()
        return [
            result
            for (chapter, _), result in self.published.results.items()
            if chapter in chapters and whole <= {"shard": WHOLE, **result["settings"]}.items()
        ]


def _cell(results: Mapping[int, Result | None], source: Source, label: str = "") -> Cell:
    chapter, maps = source
    kinds = {"voc_masks": "mask_miou", "voc_segmentation": "val_miou"}
    metric = f"{kinds[chapter]}.{maps}" if chapter in kinds else METRICS[maps][0]
    metrics = [flat(result["metrics"], lists=True) if result else {} for result in results.values()]
    values = [each.get(metric) for each in metrics]
    missing = [
        f"{chapter} of seed {seed} " + (f"has no {metric}" if result else "is missing")
        for (seed, result), value in zip(results.items(), values, strict=True)
        if value is None
    ]
    if missing:
        return Cell((), (), "; ".join(missing), label)
    return Cell(tuple(results.values()), tuple(values), label=label)


def why_not_voc(result: Result) -> str:
    """Why a result with VOC's settings is not one of the whole split of VOC; empty if it is."""
    split = SCORED_ON[result["chapter"]]
    of_networks = result["metrics"].get("val_iou_per_class", {}).values()
    by_class = next(iter(of_networks), result.get("per_class_iou"))
    classes, images = {*(by_class or ())} - {"background"}, LIST_COUNTS[split]
    if (classes, result["split"], result["images"]) == ({*CLASS_NAMES}, split, images):
        return ""
    return (
        f"is scored on {result['images']} images of {result['split']} and {len(classes)} classes, "
        f"not on the {images} of VOC's {split} and its {len(CLASS_NAMES)}"
    )


# Claims -----------------------------------------------------------------------------------------

# What is compared, chapter, names of RIB's maps or masks and of the CAM's.
RIB_AND_CAM = (
    ("seeds", "voc_rib", "seeds", "cam"),
    ("seeds after a dense CRF", "voc_masks", "rib_crf", "cam_crf"),
    ("masks after IRN", "voc_masks", "rib_irn", "cam_irn"),
    ("networks on val, without CRF", "voc_segmentation", "rib_irn", "cam_irn"),
    ("networks on val, with CRF", "voc_segmentation", "rib_irn_crf", "cam_irn_crf"),
)
# What is compared, what the paper says, chapter, and two entries of lists of HGRs of R_ND.
ON_DIGITS = (
    ("HGR of R_ND, the last layer against the one below", "lower: the last layer is the bottleneck",
     "toy_bottleneck", ("hgr", -1), ("hgr", -2)),
    ("HGR of R_ND, after steps of L_RIB against before", "higher", "rib_loss",
     ("rib", -1), ("rib", 0)),
    ("HGR of R_ND, after steps of L_RIB against as many of L_BCE", "higher", "rib_loss",
     ("rib", -1), ("bce", -1)),
)  # fmt: skip


def board_claims(
    board: Board,
    found: Mapping[str, AblationResults],
    photographs: Mapping[str, AblationResults],
) -> list[Claim]:
    """Every claim of the list, in the order of the book, by the one rule of all chapters.

    ``found`` is what is there for the book's ablations by name, ``photographs`` for those on
    photographs, of which claims without a result are left out.
    """
    claims = []
    for asked, paper, chapter, first, second in ON_DIGITS:
        for kind, parameters in TOYS.items():
            result = board.run(chapter, parameters)
            gap = _on_digits(result, first, second) if result else None
            missing = "" if result else f"{chapter} of {kind} is missing"
            claims.append(Claim(f"{asked}, {kind}", paper, gap, missing))
    reported = {each: row.reported for row in ROWS for each in (row.scenes, row.voc)}
    for asked, chapter, *maps in RIB_AND_CAM:
        sources = [(chapter, each) for each in maps]
        scores = " against ".join(reported[source].split()[0] for source in sources)
        paper = "higher" if NONE in scores else f"higher: {scores}"
        pairs = [(f"{asked}: RIB against the CAM", [board.scenes(source) for source in sources])]
        photos = [board.photographs(source) for source in sources]
        if any(cell.results for cell in photos):
            pairs.insert(0, (f"{asked}: RIB against the CAM on photographs", photos))
        for cells in zip(*map(board.voc, sources), strict=True):
            label = f", {cells[0].label}" if cells[0].label else ""
            pairs.append((f"{asked}: RIB against the CAM on VOC{label}", cells))
        for words, cells in pairs:
            sides = (cell.side(each) for cell, each in zip(cells, maps, strict=True))
            claims.append(compare(words, *sides, paper))
    for words, sides, paper in _of_ablations(photographs):
        claim = compare(f"seeds: {words} on photographs", *sides, paper)
        claims += [claim] if claim.difference else []
    for words, sides, paper in _of_ablations(found):
        claims.append(compare(f"seeds: {words}", *sides, paper))
    return claims


def _of_ablations(found: Mapping[str, AblationResults]) -> Iterator[tuple[str, list[Side], str]]:
    """What is compared, the two sides, and what the paper says, for those that are found."""
    if seeds := found.get("seeds"):
        sides = [side(seeds, case=case) for case in ("RIB, GNDRP", "RIB, GAP")]
        yield "GNDRP against GAP", sides, "higher"
    if losses := found.get("loss"):
        words = "L_RIB against as many steps of L_BCE, each at its best rate"
        yield words, best_losses(losses), "higher"
    if not seeds and (taus := found.get("tau")):
        yield "GNDRP against GAP", [side(taus, threshold=tau) for tau in (0.4, 1.0)], "higher"
    for pooling, paper in (("gndrp", "not lower"), ("gap", "lower")):
        if steps := found.get("k_and_pooling"):
            sides = [side(steps, pooling=pooling, iterations=k) for k in (20, 5)]
            yield f"K = 20 against K = 5, {pooling.upper()}", sides, paper
    if not seeds and (cost := found.get("cost")):
        sides = [side(cost, case=case) for case in ("3 stages move", "the default")]
        yield "a third stage moves, against the last two", sides, ""


def _on_digits(result: Result, first: tuple[str, int], second: tuple[str, int]) -> Difference:
    """Two means over nets; their interval is the one between mean ± standard deviation of each.

    In hundredths, of which results keep mean and standard deviation over the nets only.
    """
    (x, dx), (y, dy) = (
        [100 * result[kind][name]["non_discriminative"][place] for kind in ("metrics", "spread")]
        for name, place in (first, second)
    )
    ends = (x - dx) - (y + dy), (x + dx) - (y - dy)
    return Difference(x - y, *ends, (), len(result["seed"]))


# Tables -----------------------------------------------------------------------------------------


def scores_table(board: Board) -> pd.DataFrame:
    """One row for each kind of maps at each stage: what others report, and ours."""
    return pd.DataFrame(
        {
            "stage": row.stage,
            "post-processing": row.how,
            "began with": row.began_with,
            "reported": row.reported,
            "re-run by others": row.others,
            "VOC 2012, five animals, 320 px": row.voc and str(board.photographs(row.voc)),
            "ours on scenes": row.scenes and str(board.scenes(row.scenes)),
            "ours on VOC": row.voc and ("; ".join(map(str, board.voc(row.voc))) or NOT_RUN),
        }
        for row in ROWS
    ).fillna(NONE)


def notes(board: Board) -> str:
    """In Markdown: what is left out, missing or not counted, why, and what makes it."""
    lines = [f"- Left out: {path} {why}." for path, why in board.published.problems.items()]
    for chapter, parameters in PLANNED:
        if board.run(chapter, parameters) is None:
            folder = "_".join([chapter, *map(str, parameters.values())])
            given = [f"{name}={value}" for name, value in parameters.items()]
            words = " ".join(f"-p {one}" for one in (*given, f"output_dir=runs/{folder}"))
            lines.append(f"- Missing: {chapter}: {', '.join(given)}: `ribnb run {chapter} {words}`")
    for result in board.vocs(*SCORED_ON):
        if why := why_not_voc(result):
            lines.append(f"- Not counted as VOC: {result['path']} {why}.")
    text = "\n".join(lines).replace(f"{board.published.folder}/", "")
    return text or "Nothing is missing, stale, broken or edited among the results of this page."


def origins(board: Board) -> pd.DataFrame:
    """Where each result behind the table comes from; those of the book are linked to."""
    cells = [board.photographs(row.voc) for row in ROWS if row.voc]
    cells += [board.scenes(row.scenes) for row in ROWS if row.scenes]
    cells += [cell for row in ROWS if row.voc for cell in board.voc(row.voc)]
    used = {result["path"]: result for cell in cells for result in cell.results}
    return pd.DataFrame(
        {
            "result": _link(board, Path(path)),
            "seed": str(result["seed"]),
            "images": result["images"],
            "commit": COMMIT.sub(r"\1", result.get("git_commit") or "unknown"),
            "device": result["device"],
            "date": str(result["date"])[:10],
            "digest": result["digest"][:12],
        }
        for path, result in used.items()
    )


def _link(board: Board, path: Path) -> str:
    """A result's folder below that of all; in the book a link, for the pages bring its results."""
    name = path.relative_to(board.published.folder).parent.as_posix()
    if board.published.folder.resolve() != book_folder("results").resolve():
        return name
    return f'<a href="results/{name}/{RESULT}">{name}</a>'
