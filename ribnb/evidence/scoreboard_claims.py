"""Which claims of the paper hold in our hands: a list, computed from results by one rule."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ribnb.book.ablations_settings import COMMAND, PUBLISH
from ribnb.evidence.ablation_results import AblationResults, Published
from ribnb.evidence.scoreboard import NETS, TOYS, Board, Cell, Result, command
from ribnb.evidence.scoreboard_stages import Row
from ribnb.runs.ablations import Ablation
from ribnb.runs.results import flat
from ribnb.scores.image_scores import WIDE

HOLDS, FAILS, MIXED, UNTESTED = "holds", "does not hold", "mixed", "not tested"
LEAST_NETS = 3
Label = Mapping[str, Any]
MARGIN = 1.0  # points that are not yet a fall
RULE = f"""\
A claim holds if the difference has the claimed sign for every net, does not hold if it has the \
other sign for every net, and is mixed in between. "Does not fall" holds if no net falls by more \
than {MARGIN:g} point, and does not hold if every net does. Of digits, results keep mean and \
standard deviation over five nets: there a difference counts if the ranges mean ± standard \
deviation do not touch, and the claim holds if that is so for both kinds of digits, does not hold \
if both speak against it, and is mixed in between. With fewer than {LEAST_NETS} nets, or without \
one of its results, it is not tested. The word is about digits and scenes; a number of VOC stands \
beside it."""
RANGES = {  # metric of an ablation's runs -> among which thresholds it is the best
    "seed_miou": "of 0.20 to 0.49",
    "wide_seed_miou": "of 0.02 to 0.60",
}
BATCH = f"{COMMAND}\n{PUBLISH}"


@dataclass(frozen=True)
class Claim:
    """One claim and what our results say.

    Attributes:
        text: the claim in words.
        status: ``HOLDS``, ``FAILS``, ``MIXED`` or ``UNTESTED``.
        evidence: numbers in words, each with the result it comes from.
        chapter: where a reader finds it.
        todo: the commands that make what is missing; empty if nothing is.
    """

    text: str
    status: str
    evidence: tuple[tuple[str, Result | None], ...]
    chapter: str
    todo: str = ""


def status_of(differences: Sequence[float], margin: float = 0.0) -> str:
    """The word for differences by net that are claimed to be above ``-margin``; see ``RULE``."""
    if len(differences) < LEAST_NETS:
        return UNTESTED
    above = [value >= -margin if margin else value > 0 for value in differences]
    below = [value < -margin for value in differences]
    return HOLDS if all(above) else FAILS if all(below) else MIXED


def claims(board: Board, ablations: Mapping[str, Ablation]) -> list[Claim]:
    """Every claim of the list, in the order of the book.

    Args:
        board: the results.
        ablations: by name, as ``read_ablations`` gives them.
    """
    wanted = ablations.keys() & {"loss", "k_and_pooling"}
    quiet = Published(board.published.results, {})  # no scores of images are needed here
    own = {name: quiet.of(ablations[name]) for name in wanted}
    masks, nets, steps = "voc_masks", "voc_segmentation", own.get("k_and_pooling")
    return [
        _toy(
            board, "The last layer is the bottleneck: it hardly looks at the small shape any more, "
            "although the layer below still does (HGR of R_ND at G_5 and at G_6).",
            "toy_bottleneck", ("at G_5", "hgr.non_discriminative", -2),
            ("at G_6", "hgr.non_discriminative", -1),
        ),
        _toy(
            board, "Some steps of L_RIB bring it back (HGR of R_ND at G_6, after the steps and "
            "before).",
            "rib_loss", ("after", "rib.non_discriminative", -1),
            ("before", "rib.non_discriminative", 0),
        ),
        _toy(
            board, "As many steps of L_BCE do not (the same, after steps of either loss).",
            "rib_loss", ("after L_RIB", "rib.non_discriminative", -1),
            ("after L_BCE", "bce.non_discriminative", -1),
        ),
        *(_losses(own.get("loss"), metric) for metric in RANGES),
        *_both(board, "Seeds of RIB score above those of the CAM, each at its best threshold",
               masks, "mask_miou.rib{}", "mask_miou.cam{}"),
        *_both(board, "Seeds of RIB in the paper's variant, on 100 scenes a net, score above those "
               "of the CAM, each at its best threshold", "voc_rib", "{}seed_miou",
               "{}cam_seed_miou", "wide_"),
        *_both(board, "After a dense CRF on seeds, RIB scores above the CAM, each cut at its "
               "seeds' best threshold", masks, "mask_miou.rib{}_crf",
               "mask_miou.cam{}_crf"),
        _nets(board, "After IRN, pseudo masks from RIB score above those from the CAM.",
              masks, "mask_miou.rib_irn", "mask_miou.cam_irn"),
        _nets(board, "A network that learned from RIB's masks scores above one that learned from "
              "the CAM's (on val, without CRF).", nets, "val_miou.rib_irn", "val_miou.cam_irn"),
        _nets(board, "A network that learned from RIB's masks scores above one that learned from "
              "the CAM's (on val, with CRF).", nets, "val_miou.rib_irn_crf",
              "val_miou.cam_irn_crf"),
        *_both(board, "Seeds of RIB find more of the non-salient objects than those of the CAM, "
               "each at its best threshold", masks, "non_salient_recall.rib{}",
               "non_salient_recall.cam{}"),
        _nets(board, "After IRN, masks from RIB find more of the non-salient objects than those "
              "from the CAM.", masks, "non_salient_recall.rib_irn", "non_salient_recall.cam_irn"),
        *(_steps(steps, "gndrp", "With GNDRP the seeds do not fall with more steps (mIoU at "
                 "K = 20 and at K = 5, thresholds {}).", metric) for metric in RANGES),
        *(_steps(steps, "gap", "With GAP in place of GNDRP the seeds fall with more steps (mIoU at "
                 "K = 20 and at K = 5, thresholds {}).", metric) for metric in RANGES),
    ]  # fmt: skip


def _points(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}"


def _by_net(values: Mapping[int, tuple[float, Result | None]]) -> list[tuple[str, Result | None]]:
    lines = [(f"net {seed}: {_points(value)}", source) for seed, (value, source) in values.items()]
    mean = statistics.fmean(value for value, _ in values.values())
    return [*lines, (f"mean {_points(mean)} points", None)]


def _nets(board: Board, text: str, chapter: str, first: str, second: str) -> Claim:
    """The difference of two metrics of one run, for each net."""
    one, other = (Row("", "", (chapter, name), (chapter, name)) for name in (first, second))
    a, b = board.scenes(one) or Cell(), board.scenes(other) or Cell()
    beside = _voc(board, one, other)
    if a.missing or b.missing:
        text_of = dict.fromkeys([*a.missing, *b.missing])
        todo = "\n".join(command_of(board, chapter))
        return Claim(text, UNTESTED, (*((why, None) for why in text_of), *beside), chapter, todo)
    pairs = zip(NETS, a.values, b.values, a.sources, strict=True)
    found = {seed: (x - y, source) for seed, x, y, source in pairs}
    word = status_of([value for value, _ in found.values()])
    return Claim(text, word, (*_by_net(found), *beside), chapter)


def _both(
    board: Board, text: str, chapter: str, first: str, second: str, wide: str = WIDE
) -> Iterator[Claim]:
    """A claim about seeds in either range; ``wide`` takes the place of {} for the wide one."""
    for words, mark in zip(RANGES.values(), ("", wide), strict=True):
        names = (name.format(mark) for name in (first, second))
        yield _nets(board, f"{text} {words}.", chapter, *names)


def command_of(board: Board, chapter: str) -> list[str]:
    """The commands that make the planned runs of a chapter that are not there."""
    return [
        command(name, parameters)
        for name, parameters in board.plans()
        if name == chapter and board.run(name, parameters) is None
    ]


def _voc(board: Board, one: Row, other: Row) -> list[tuple[str, Result | None]]:
    lines = []
    for a, b in zip(board.voc(one) or [], board.voc(other) or [], strict=True):
        if a.missing or b.missing:
            continue
        values = [x - y for x, y in zip(a.values, b.values, strict=True)]
        of = f", {a.label}" if a.label else ""
        mean = _points(statistics.fmean(values))
        lines.append((f"VOC: {mean} points (n = {len(values)}{of})", a.sources[0]))
    return lines


def _toy(
    board: Board, text: str, chapter: str, high: tuple[str, str, int], low: tuple[str, str, int]
) -> Claim:
    """Whether one mean over nets lies above another for both kinds of digits."""
    words, evidence, gone = [], [], []
    for name, parameters in TOYS.items():
        result = board.run(chapter, parameters)
        if result is None:
            gone.append((f"{name}: {chapter} is missing", None))
            continue
        (x, dx), (y, dy) = (_range(result, *one[1:]) for one in (high, low))
        words.append(1 if x - dx > y + dy else -1 if x + dx < y - dy else 0)
        line = f"{name}: {x:.2f} ± {dx:.2f} {high[0]}, {y:.2f} ± {dy:.2f} {low[0]}"
        evidence.append((line, result))
    if gone:
        todo = "\n".join(command_of(board, chapter))
        return Claim(text, UNTESTED, (*gone, *evidence), chapter, todo)
    word = HOLDS if min(words) > 0 else FAILS if max(words) < 0 else MIXED
    return Claim(text, word, tuple(evidence), chapter)


def _range(result: Result, name: str, place: int) -> tuple[float, float]:
    """Mean and standard deviation over nets of an entry of a list; -1 is the last one."""
    found = []
    for part in (result["metrics"], result["spread"]):
        values = [value for key, value in flat(part).items() if key.rpartition(".")[0] == name]
        found.append(values[place])
    return found[0], found[1]


def _ablation(text: str, results: AblationResults | None, *labels: Label) -> Claim | None:
    """The claim as not tested, where points with these labels lack results; None if none does."""
    if results is None:
        return Claim(text, UNTESTED, (("its ablation has no file", None),), "ablations", BATCH)
    ablation = results.ablation
    points = [p for p in ablation.points if any(one.items() <= p.label.items() for one in labels)]
    runs = {f"{point}, seed {seed}" for point in points for seed in ablation.seeds}
    gaps = [one for one in results.missing if one in runs]
    if not gaps:
        return None
    more = f" and {len(gaps) - 1} more" if gaps[1:] else ""
    why = f"the ablation {ablation.name} lacks {gaps[0]}{more}"
    return Claim(text, UNTESTED, ((why, None),), "ablations", BATCH)


def _other(text: str, results: AblationResults) -> Claim:
    """The claim as not tested, where an ablation has other points, or its runs no such score."""
    why = f"the ablation {results.ablation.name} has other points or scores than are compared"
    return Claim(text, UNTESTED, ((why, None),), "ablations")


def _losses(results: AblationResults | None, metric: str) -> Claim:
    text = (
        "Seeds of L_RIB score above those of as many steps of L_BCE, each at the step size that is "
        f"best for its mean, with thresholds {RANGES[metric]}. (That L_BCE does not help at all is "
        "another claim: see the chapter.)"
    )
    lacking = _ablation(text, results, {})
    if lacking or results is None:
        return lacking
    frame = results.frame
    if {"loss", "learning_rate", metric} - set(frame) or set(frame["loss"]) != {"rib", "bce"}:
        return _other(text, results)
    best: dict[str, Any] = {}
    for loss, runs in frame.groupby("loss"):
        rate = runs.groupby("learning_rate")[metric].mean().idxmax()
        best[loss] = rate, runs[runs["learning_rate"] == rate].set_index("seed")
    (rate, rib), (other, bce) = best["rib"], best["bce"]
    found = {
        seed: (rib.loc[seed, metric] - bce.loc[seed, metric], {"path": rib.loc[seed, "path"]})
        for seed in results.ablation.seeds
    }
    lines = [*_by_net(found), (f"L_RIB at {rate:g}, L_BCE at {other:g}", None)]
    return Claim(text, status_of([value for value, _ in found.values()]), tuple(lines), "ablations")


def _steps(results: AblationResults | None, pooling: str, text: str, metric: str) -> Claim:
    text = text.format(RANGES[metric])
    lacking = _ablation(text, results, *({"pooling": pooling, "iterations": k} for k in (5, 20)))
    if lacking or results is None:
        return lacking
    if {"pooling", "iterations", metric} - set(results.frame):
        return _other(text, results)
    runs = results.frame[results.frame["pooling"] == pooling].set_index(["iterations", "seed"])
    if not {5, 20} <= set(runs.index.get_level_values(0)):
        return _other(text, results)
    found = {}
    for seed in results.ablation.seeds:
        late, early = runs.loc[(20, seed)], runs.loc[(5, seed)]
        found[seed] = late[metric] - early[metric], {"path": late["path"]}
    values = [value for value, _ in found.values()]
    word = status_of(values, MARGIN) if pooling == "gndrp" else status_of([-one for one in values])
    return Claim(text, word, tuple(_by_net(found)), "ablations")
