"""The command line: ``ribnb COMMAND``, or ``python -m ribnb COMMAND``; each has its ``--help``."""

from __future__ import annotations

import ast
import csv
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ribnb.core.parameters import as_text, as_written, merged, nested


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="ribnb")
def ribnb() -> None:
    """RIB: chapters with other parameters, maps and masks of a data set, tables of results."""


def main(words: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code.

    It is 2 for words and files that make no sense, 130 after Ctrl-C, and 1 where something
    failed that is named.
    """
    words = [_at_home(word) for word in (sys.argv[1:] if words is None else words)]
    try:
        return ribnb.main(words, "ribnb", standalone_mode=False) or 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # what it left undone is no fault
        _say("stopped; the same command goes on from here, where it has a folder to write to")
        return 130
    except (ValueError, OSError, ImportError, KeyError, FloatingPointError) as error:
        _say(error.args[0] if isinstance(error, KeyError) else error)
        return 2


def _at_home(word: str) -> str:
    """A word with the home folder for ~/, also in NAME=~/FILE, where not every shell puts it."""
    name, equals, value = word.rpartition("=")
    return name + equals + os.path.expanduser(value) if value.startswith("~/") else word


def _say(what: Any) -> None:
    """To stderr; of several processes that train together, the first speaks for all."""
    if os.environ.get("RANK", "0") == "0" or isinstance(what, OSError):
        click.echo(what, err=True)


def _pairs(context: click.Context, parameter: click.Parameter, given: Sequence[str]) -> dict:
    """Values of ``NAME=VALUE`` as Python writes them, such as 1e-3, True or [1, 2]; else text."""
    values = {}
    for word in given:
        name, separator, text = word.partition("=")
        if not separator:
            raise click.BadParameter(f"{word!r} is not of the form NAME=VALUE")
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = {"true": True, "false": False, "null": None}.get(text.lower(), text)
        value = as_written(value, text)
        values[name] = list(value) if isinstance(value, tuple) else value  # 1, 2 without brackets
    return values


def _names(context: click.Context, parameter: click.Parameter, text: str | None) -> list | None:
    """Names between commas; one that has a comma stands in double quotes."""
    if text is None:
        return None
    return [name for name in next(csv.reader([text], skipinitialspace=True), []) if name]


def _parameters(meaning: str):
    return click.option(
        "-p", "parameters", multiple=True, callback=_pairs, metavar="NAME=VALUE", help=meaning
    )


# Chapters and their results ---------------------------------------------------------------


@ribnb.command()
@click.argument("chapter")
@_parameters("a parameter, such as seeds=5 or rib.iterations=5")
@click.option("-f", "--file", metavar="FILE", help="a YAML file of parameters; -p goes first")
@click.option("-o", "--output", help="the executed notebook; in output_dir, or else ./executed")
def run(chapter: str, parameters: dict, file: str | None, output: str | None) -> int:
    """Run a chapter, by its name or its notebook's path, with other parameters.

    With `-p output_dir=FOLDER` the result is kept there, and a run that was stopped goes on. Of
    shards that share a folder (`-p shard=0/4`), the one that ends last makes the result. Ends with
    1 if the chapter failed, and says how far it came.
    """
    from ribnb.core.settings import for_chapter, read_settings_file
    from ribnb.runs.execution import BOOK, ChapterFailed, run_shard, warned

    path = Path(chapter) if chapter.endswith(".ipynb") else BOOK / f"{chapter}.ipynb"
    if file:
        from ribnb.book import CHAPTERS  # loads torch

        known = {path.stem: None, **CHAPTERS}
        given = for_chapter(read_settings_file(file), path.stem, known)
        parameters = merged(given, nested(parameters))
    if parameters.get("output_dir"):
        parameters["output_dir"] = as_text(parameters["output_dir"])
    folder = Path(str(parameters.get("output_dir") or "executed"))
    try:
        for executed in run_shard(path, Path(output or folder / path.name), parameters):
            for text in warned(executed):
                _say(text)
            click.echo(executed)
    except ChapterFailed as error:
        _say(error)
        return 1
    return 0


@ribnb.command()
@click.argument("folder", metavar="DIR")
@click.option("--by", default="", callback=_names, metavar="NAMES", help=(
    "what to show: settings as settings.rib.iterations, fields of the result, such as split"
))  # fmt: skip
@click.option("--metrics", callback=_names, metavar="NAMES", help="metrics to show, else all")
@click.option("--where", multiple=True, callback=_pairs, metavar="NAME=VALUE", help=(
    "only results with this, such as chapter=voc_rib; may be given several times"
))  # fmt: skip
@click.option("--mean", is_flag=True, help="mean and deviation over seeds")
@click.option("--format", "kind", default="csv", type=click.Choice(["csv", "latex", "markdown"]))
@click.option("--digits", type=click.IntRange(0), help="decimals of metrics, else all")
def table(
    folder: str, by: list, metrics: list | None, where: dict, mean: bool, kind: str,
    digits: int | None,
) -> int:  # fmt: skip
    """Show the results below a folder as a table; ends with 1 where there is none."""
    from ribnb.book import CHAPTERS
    from ribnb.runs import tables
    from ribnb.runs.results import find_results

    results, problems = find_results(folder, CHAPTERS)
    for path, reason in problems.items():
        _say(f"left out: {path} {reason}")
    results = tables.select(results, where)
    if not results:
        _say(f"no result.json to show below {folder}")
        return 1
    frame = tables.results_table(results, by, metrics, mean, CHAPTERS)
    click.echo(tables.format_table(frame, kind, digits), nl=False)
    return 0


@ribnb.command()
@click.argument("files", nargs=-1, metavar="FILE...")
def check(files: tuple[str, ...]) -> None:
    """Say what ablations' files, or a batch's settings file, would run, or what is wrong.

    Without a file: the ablations of the book.
    """
    from ribnb.book import CHAPTERS
    from ribnb.core.settings import read_settings_file
    from ribnb.runs.batch import read_batch

    for path in files or (None,):
        alone = path and "chapter" in read_settings_file(path)
        changes = {"ablations": [path]} if alone else {}
        click.echo(read_batch(None if alone else path, CHAPTERS, changes))


@ribnb.command()
@click.argument("folder", metavar="DIR")
@click.option("-o", "--output", metavar="FILE.tar.gz", help="else DIR.tar.gz beside DIR")
def pack(folder: str, output: str | None) -> None:
    """Pack the results below a folder into one archive (a BagIt bag) that others can check."""
    from ribnb.book import CHAPTERS
    from ribnb.runs.bundles import pack

    path, results, left_out = pack(folder, output, CHAPTERS)
    for name, why in left_out.items():
        _say(f"left out: {name} {why}")
    click.echo(f"{path}: {results} results")


@ribnb.command()
@click.argument("archive", metavar="FILE_OR_DIR")
def verify(archive: str) -> int:
    """Check that an archive of results, or the folder it was unpacked to, is whole.

    Ends with 1 for one that is not, with a line for every fault, and with 2 for what is none.
    """
    from ribnb.runs.bundles import verify

    results, faults = verify(archive)
    click.echo("\n".join(faults) or f"whole: {results} results")
    return 1 if faults else 0


# A whole data set -------------------------------------------------------------------------

_workers = click.option("--workers", default=0, help="processes that decode ahead")
_device = click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")


@ribnb.command()
@click.argument("data_root")
@click.option("--split", default="train", help="its name, or the path of a list")
@_workers
@_device
@click.option("--weights", required=True, help="a classifier.safetensors, or .pth")
@click.option("-o", "--output-dir", required=True, help="for maps/ and their record")
@click.option(
    "--variant",
    default="released",
    type=click.Choice(["paper", "released", "fast", "scenes", "photographs"]),
)
@click.option("--shard", default="0/1", help="i/n: every n-th image from the i-th")
@click.option("--labels-from", default="annotations", help="annotations or masks")
@click.option("--classes", default="", callback=_names, metavar="NAMES", help=(
    "these alone, such as cat,dog; the others are background"
))  # fmt: skip
@_parameters("a field of RIBSettings, such as iterations=5")
def maps(
    data_root: str, split: str, workers: int, device: str, weights: str, output_dir: str,
    variant: str, shard: str, labels_from: str, classes: list, parameters: dict,
) -> int:  # fmt: skip
    """RIB's maps of a split of a folder in VOC's layout; ends with 1 if an image failed."""
    from ribnb.core.devices import resolve_device
    from ribnb.core.runner import parse_shard
    from ribnb.data.labels import look_at_masks
    from ribnb.data.voc import VOCImages
    from ribnb.method.localization import localization_maps
    from ribnb.method.settings import RIBSettings
    from ribnb.nets.classifier import load_classifier

    if "variant" in parameters:  # it is more than that field: its own rates, rules and batches
        raise ValueError(f"for the variant use --variant {parameters['variant']}")
    settings = RIBSettings.from_mapping({**getattr(RIBSettings, variant)().as_dict(), **parameters})
    images = VOCImages(data_root, split, labels_from, classes)
    model = load_classifier(weights, num_classes=len(images.class_names))
    model.to(resolve_device(device))
    doubt, useless = look_at_masks(images)
    if doubt and useless is not None:  # maps need no masks
        _say(doubt)
    report = localization_maps(model, images, settings, output_dir, parse_shard(shard), workers)
    click.echo(report)
    return 1 if report.failed else 0


@ribnb.command()
@click.argument("run_folder", type=Path)
@click.argument("output", type=Path)
def export(run_folder: Path, output: Path) -> int:
    """Write maps or masks of a run as IRN's scripts read them: ID.npy (cam_out_dir) or ID.png.

    Ends with 1 if some failed.
    """
    from ribnb.masks.export import export_irn

    report = export_irn(run_folder, output)
    click.echo(report)
    return 1 if report.failed else 0


@ribnb.command()
@click.argument("folder", metavar="MAPS_OR_MASKS")
@click.argument("data_root")
@click.option("--split", default="train", metavar="LIST", help="its name, or the path of a list")
@click.option("--threshold", type=click.FloatRange(0, 1, True, True), help="else the best one")
@click.option("-o", "--output", type=Path, metavar="DIR", help="for tables (CSV), figures (PNG)")
@click.option("--allow-pickle", is_flag=True, help="run programs in .npy; they may do anything")
def score(
    folder: str, data_root: str, split: str, threshold: float | None, output: Path | None,
    allow_pickle: bool,
) -> int:  # fmt: skip
    """Score maps or masks of any program; ends with 1 if an image was left out.

    They are ID.npz as of ribnb, ID.npy as of IRN or of an array (C, H, W), or ID.png.
    """
    from ribnb.core.files import write_whole
    from ribnb.data.voc import VOCImages
    from ribnb.figures import iou_by_class, threshold_sweep
    from ribnb.scores.folders import SplitScore, score_folder
    from ribnb.scores.iou import THRESHOLDS

    images, cuts = VOCImages(data_root, split), {*THRESHOLDS, threshold or THRESHOLDS[0]}
    kind, result = score_folder(images, folder, sorted(cuts), allow_pickle)
    shown, at = {}, ""
    if isinstance(result, SplitScore):
        seeds = result.seeds()
        cut = threshold or seeds.best_threshold
        chosen, at = seeds.at(cut), f" at {cut:g}"
        figure = threshold_sweep({kind: seeds}, "The best background threshold is an oracle")
        shown["thresholds"] = seeds.by_threshold(), figure
        click.echo(seeds)
    else:
        chosen = result.score("masks")
    shown["classes"] = chosen.by_class(), iou_by_class({kind: chosen.iou}, f"{chosen}{at}")
    for name, (table, figure) in shown.items():
        click.echo(f"{table.round(2).to_string()}\n")
        if output:
            output.mkdir(parents=True, exist_ok=True)
            write_whole(output / f"{name}.csv", table.to_csv)
            write_whole(output / f"{name}.png", figure.savefig)
    click.echo(
        f"{kind}, {len(result.scored)} of {len(images)} images{at}: mIoU {chosen.miou:.2f} %, "
        f"precision {chosen.foreground_precision:.2f} %, recall {chosen.foreground_recall:.2f} %"
    )
    for name, why in result.failed.items():
        _say(f"left out: {name}: {why}")
    return 1 if result.failed else 0


@ribnb.command()
@click.argument("data_root")
@click.argument("masks_dir")
@click.option("--split", default="train_aug", help="its name, or the path of a list")
@_workers
@_device
@click.option("-o", "--output-dir", required=True, help="for segmentation.safetensors")
@click.option("--variant", default="voc", type=click.Choice(["voc", "scenes"]))
@click.option("--arch", help="resnet101; of scenes: scenes")
@click.option("--weights", default="imagenet", help=(
    "of the backbone at the start: imagenet, random, or a path; for the net scenes its "
    "classifier.safetensors"
))  # fmt: skip
@click.option("--predict", metavar="SPLIT", help="write masks of this split afterwards")
@click.option("--crf", is_flag=True, help="and such masks after a dense CRF")
@_parameters("a field of SegmentationSettings, such as steps=1000")
def segment(**given: Any) -> int:
    """Train DeepLab-v2 on masks ID.png; MASKS_DIR "truth" stands for the data's own.

    In one process, or on several GPUs: `torchrun --nproc_per_node 4 -m ribnb segment ...`. Ends
    with 1 if an image failed.
    """
    from ribnb.segmentation.prediction import segment

    return 1 if segment(**given) else 0


if __name__ == "__main__":
    sys.exit(main())
