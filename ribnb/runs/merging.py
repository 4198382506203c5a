"""Several shards of one run over a split, put together to the run's result."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ribnb.book.chapter_settings import settings_class
from ribnb.book.split_settings import ShardSettings
from ribnb.core.settings import Settings
from ribnb.method.map_gathering import gather_maps
from ribnb.runs.results import RESULT, ResultError, read_result, signed, stale, write_result
from ribnb.scores.split_scores import SplitScore, load_score, merge_scores, save_score

CHAPTERS = ("voc_classifier", "voc_rib")
PLACES = {"seeds": "maps", "cam": "cam/maps"}  # of the maps, in a run's folder
MEANS = {"seconds_per_image", "logit_growth"}  # over images
STOPS = ("stopped_margin", "stopped_flood")
NEEDED = {"inputs", "failures", "git_commit", "versions", "device", "seconds", "date"}


def merge_runs(
    folders: Sequence[str | Path], output_dir: str | Path | None = None
) -> dict[str, Any]:
    """One result from the folders of all shards of a run, as if it had not been sharded.

    Scores are computed from the shards' summed confusion matrices, at one threshold chosen for
    all images together.

    Args:
        folders: each with a shard's ``result.json`` and ``scores.npz``.
        output_dir: where the merged ones go, and the shards' maps; None writes nothing.

    Raises:
        FileNotFoundError: a folder without a finished run.
        ValueError: runs of different chapters, settings, nets or splits; images in two shards or
            in none; an output folder that holds another result.
    """
    names = [str(folder) for folder in folders]
    results = [_result(Path(name)) for name in names]
    settings = _common_settings(results, names)
    score = merge_scores([load_score(name) for name in names], names)
    parts = [result["metrics"] for result in results]
    metrics = {**parts[0], **score.metrics()}
    metrics |= {name: sum(part[name] for part in parts) for name in STOPS}
    weights = [part["images"] for part in parts]
    for name in MEANS & parts[0].keys():
        values = zip(parts, weights, strict=True)
        metrics[name] = sum(part[name] * weight for part, weight in values) / sum(weights)
    kept = settings.as_dict()
    del kept["output_dir"]  # as in every result
    merged = {
        **results[0],
        "metrics": metrics,
        "per_class_iou": metrics["seed_iou_per_class"],
        "images": metrics["images"],
        "threshold": metrics["seed_threshold"],
        "failures": {id_: why for one in results for id_, why in one["failures"].items()},
        "settings": kept,
        "settings_hash": settings.hash(),
        **{key: _of_all(results, key) for key in ("git_commit", "versions", "device")},
        "seconds": round(sum(result["seconds"] for result in results), 1),
        "date": max(result["date"] for result in results),
        "shards": [
            {key: result[key] for key in ("git_commit", "device", "seconds", "date")}
            | {"shard": result["settings"]["shard"], "images": result["images"]}
            for result in results
        ],
    }
    if output_dir is None:
        merged = signed(merged)
    else:
        folder = Path(output_dir)
        _refuse_other_result(folder, merged, names)
        folder.mkdir(parents=True, exist_ok=True)
        gather_maps(names, folder)
        save_score(score, folder)
        _score_images(settings, score, folder)
        merged = write_result(folder, merged)  # last: with it the merged run counts as finished
    return merged


def _score_images(settings: ShardSettings, score: SplitScore, folder: Path) -> None:
    """Scores of single images at the merged thresholds, where their maps and masks are at hand.

    The shards' own are of no use here: each shard has thresholds of its own.
    """
    folders = {name: folder / PLACES[name] for name in score.confusions}
    files = [place / f"{one}.npz" for place in folders.values() for one in score.scored]
    if not all(file.is_file() for file in files):
        return
    try:
        images = settings.images()
    except OSError:
        return  # merged on a machine without the data
    score.of_images(images, folders).save(folder)


def _result(folder: Path) -> dict[str, Any]:
    path = folder / RESULT
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} holds no {RESULT}: its run is not finished, or not there"
        )
    result = read_result(path)
    if result["chapter"] not in CHAPTERS or not result.keys() >= NEEDED:
        raise ValueError(f"{path} is no result of a run over a split, of {' or '.join(CHAPTERS)}")
    if why := stale(result, {name: settings_class(name) for name in CHAPTERS}):
        raise ValueError(f"{path} {why}")
    return result


def _common_settings(results: Sequence[dict], names: Sequence[str]) -> Settings:
    """The settings of all; ValueError names what differs."""
    first = results[0]
    kind = settings_class(first["chapter"])
    fields = [name for name in kind.identity_names() if name != "shard"]
    for result, name in zip(results, names, strict=True):
        if result["chapter"] != first["chapter"]:
            raise ValueError(f"{names[0]} is of {first['chapter']}, {name} of {result['chapter']}")
        here = {field: result["settings"].get(field) for field in fields}
        for there, own in ((first["settings"], here), (first["inputs"], result["inputs"])):
            other = [
                f"{key} is {there.get(key)!r} in {names[0]}, {value!r} in {name}"
                for key, value in own.items()
                if there.get(key) != value
            ]
            if other:
                raise ValueError(f"these runs do not belong together: {'; '.join(other)}")
    return kind.from_mapping({**first["settings"], "shard": "0/1"})


def _of_all(results: Sequence[dict], key: str) -> Any:
    """What all shards have, or all that they have."""
    values = []
    for result in results:
        if result[key] not in values:
            values.append(result[key])
    return values[0] if len(values) == 1 else values


def _refuse_other_result(folder: Path, merged: dict[str, Any], names: Sequence[str]) -> None:
    if folder.resolve() in [Path(name).resolve() for name in names]:
        raise ValueError(f"the merged result cannot go to {folder}, which holds a shard's")
    if not (folder / RESULT).exists():
        return
    try:
        there = read_result(folder / RESULT)
    except ResultError as error:
        raise ValueError(f"{error}. Choose another folder, or move that file away") from error
    if there["settings_hash"] != merged["settings_hash"]:
        raise ValueError(f"{folder / RESULT} is a result of other settings; choose another folder")
    if "shards" not in there:
        raise ValueError(
            f"{folder / RESULT} is of a run that was not sharded; choose another folder"
        )


def main(words: Sequence[str] | None = None) -> int:
    """Merge the runs of all shards of a split; prints the result, or where it is.

    Returns 2 for shards that do not belong together.
    """
    parser = argparse.ArgumentParser(
        prog="python -m ribnb.runs.merging", description=main.__doc__
    )
    parser.add_argument("folders", nargs="+", metavar="DIR", help="the output_dir of a shard")
    parser.add_argument("-o", "--output-dir", help=f"for the merged {RESULT}; none: print it")
    given = parser.parse_args(words)
    try:
        merged = merge_runs(given.folders, given.output_dir)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(Path(given.output_dir) / RESULT if given.output_dir else json.dumps(merged, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
