"""Each chapter alone, with small parameters and nothing but the installed package, in an empty
folder; what the later ones make of what the earlier ones left.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from conftest import ROOT, TOOLS
from small_results import FIELDS, in_groups
from split_runs import READERS, SMALL, result_of, run_chapter, small_on

from ribnb.book.chapters import CHAPTERS
from ribnb.core.parameters import flat
from ribnb.core.voc import read_mask
from ribnb.data.digits import REGIONS
from ribnb.data.scenes.images import SceneImages
from ribnb.scores.iou import mask_miou

_SPLIT = """
seed_miou seed_threshold seed_iou_per_class cam_seed_miou cam_seed_threshold
released_range_seed_miou released_range_seed_threshold released_range_cam_seed_miou
released_range_cam_seed_threshold images failed stopped_margin stopped_flood seconds_per_image
"""
METRICS = {  # chapter -> the names that its metrics have
    "toy_bottleneck": "hgr accuracy",
    "rib_loss": "rib bce theta_0_scale accuracy",
    "cam_and_gndrp": "map cam_on_parts kept_by_gndrp cam_seed_miou",
    "rib": "map seed_miou seed_miou_cross_fitted seed_miou_gain_by_step logit_by_step steps "
    "part_recall_at_cam_precision",
    "photographs": "cam_coverage coverage logit",
    "voc_classifier": f"map {_SPLIT}",
    "voc_rib": f"logit_growth {_SPLIT}",
    "voc_masks": "mask_miou images failed",
    "voc_segmentation": "val_miou val_iou_per_class val_miou_by_seed seeds images failed",
}
RUN_ALL = """
import json, sys
from pathlib import Path
import ribnb
from split_runs import READERS, SMALL, run_chapter, small_on
runs, printed = Path(sys.argv[1]), {"package": ribnb.__file__}
for chapter in SMALL:
    run_chapter(chapter, runs / chapter, to_its_end=True, **small_on(runs, chapter))
for chapter, given in READERS.items():
    result = run_chapter(chapter, None, True, results=str(runs / "none"), **given)
    printed[chapter] = result["printed"]
printed["come along"] = run_chapter("scoreboard", None, True)["printed"]
(runs / "printed.json").write_text(json.dumps(printed))
"""


def called(*words, **options) -> None:
    """Run Python, which must end well; what it said is given."""
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder that holds nothing but the package, installed from its wheel."""
    folder = tmp_path_factory.mktemp("installed")
    source = shutil.copytree(
        ROOT / "ribnb", folder / "source" / "ribnb", ignore=shutil.ignore_patterns("__pycache__")
    ).parent
    for name in ("results", "settings"):
        shutil.copytree(ROOT / "book" / name, source / "book" / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    here = ["--no-build-isolation"] if importlib.util.find_spec("setuptools") else []
    pip = ("-m", "pip", "--disable-pip-version-check")
    called(*pip, "wheel", "--no-deps", *here, "--wheel-dir", folder, source)
    (wheel,) = folder.glob("ribnb-*.whl")
    called(*pip, "install", "--no-deps", "--target", folder / "site", wheel)
    return folder / "site"


@pytest.fixture(scope="module")
def runs(installed, tmp_path_factory) -> Path:
    """A run of each chapter to its end, in one process in an empty folder."""
    folder, empty = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("empty")
    (folder / "none").mkdir()
    paths = map(str, (installed, TOOLS, ROOT / "tests", ROOT / "tests" / "chapters"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "RIBNB_PROGRESS": ""}
    done = called("-c", RUN_ALL, folder, cwd=empty, env=environment)
    assert done.stderr == ""
    assert list(empty.iterdir()) == []
    return folder


def test_every_chapter_with_parameters_is_run_alone():
    assert SMALL.keys() | READERS.keys() == CHAPTERS.keys()


def test_chapters_that_read_results_say_which_are_missing(installed, runs):
    """Those of the package are all there."""
    printed = json.loads((runs / "printed.json").read_text())
    assert printed.pop("package") == str(installed / "ribnb" / "__init__.py")
    assert len(printed) == 1 + len(READERS)
    for reader, text in printed.items():
        assert ("make ablations" in text) == (reader in READERS), reader


@pytest.mark.parametrize("chapter", SMALL)
def test_a_result_has_its_provenance(runs, chapter):
    small = small_on(runs, chapter)
    given, result = in_groups(chapter, small), result_of(runs / chapter)
    assert result.keys() == FIELDS
    assert result["chapter"] == chapter
    kept = flat(result["settings"])
    assert {name: kept[name] for name in flat(given)} == flat(given)
    assert result["settings_hash"] == CHAPTERS[chapter](**given).hash()
    assert result["metrics"].keys() == {*METRICS[chapter].split()}
    if chapter.startswith("voc_"):
        assert result["seed"] == 3
        scored = "num_validation" if chapter == "voc_segmentation" else "num_images"
        assert (result["images"], result["failures"]) == (small[scored], {})
        assert result["inputs"]
        assert all(len(digest) == 12 for digest in result["inputs"].values())
    else:
        assert result["seed"] == [3 if "nets" in small else 0]
    if chapter in ("toy_bottleneck", "rib_loss"):
        assert result["threshold"] == 0.4
        groups, length = (("hgr",), 6) if chapter == "toy_bottleneck" else (("rib", "bce"), 3)
        for group, region in product(groups, REGIONS):
            values = result["metrics"][group][region]
            assert len(values) == length and all(0 <= value <= 1 for value in values)
            assert result["spread"][group][region] == [0] * length, "of one net"
    elif chapter not in ("photographs", "voc_segmentation"):  # they cut nothing by a threshold
        assert "oracle" in result["threshold_choice"]


# Masks and networks -----------------------------------------------------------------------


def score_of(folder, images):
    masks = [read_mask(folder / f"{name}.png") for name in images.ids]
    truths = [images.mask(index) for index in range(len(images))]
    return mask_miou(masks, truths, class_names=images.class_names)


def test_the_scores_of_masks_and_networks_are_those_of_the_masks_that_are_there(runs):
    result = result_of(runs / "voc_masks")
    miou = result["metrics"]["mask_miou"]
    assert miou.keys() >= {"cam", "rib", "cam_irn", "rib_irn", "rib_saliency"}
    for kind, value in miou.items():
        score = score_of(runs / "voc_masks" / "masks" / kind, SceneImages(8, seed=3))
        assert value == pytest.approx(score.miou)
    rows = dict(row.split(": ", 1) for row in result["post_processing"].split("; "))
    assert rows.keys() == miou.keys()
    assert rows["cam"] == "none" and rows["rib_irn"] == "IRN"
    assert len({*result["inputs"].values()}) == 4, "maps and nets of both kinds"
    metrics = result_of(runs / "voc_segmentation")["metrics"]
    assert metrics["val_miou"].keys() == {"rib_irn", "truth"}
    for kind, value in metrics["val_miou"].items():
        folder = runs / "voc_segmentation" / f"predicted_{kind}" / "plain"
        score = score_of(folder, SceneImages(5, seed=3, split="val"))
        assert value == pytest.approx(score.miou)
        known = {name: iou for name, iou in score.iou.items() if iou == iou}
        assert metrics["val_iou_per_class"][kind] == pytest.approx(known)


@pytest.mark.parametrize(("chapter", "count"), [("voc_masks", 8), ("voc_segmentation", 5)])
def test_once_more_in_the_same_folder_nothing_is_made_again(runs, chapter, count):
    def timeless():
        result = result_of(runs / chapter)
        return {k: v for k, v in result.items() if k not in ("seconds", "date", "digest")}

    before = {path: path.stat().st_mtime_ns for path in (runs / chapter).rglob("*.png")}
    first = timeless()
    again = run_chapter(chapter, runs / chapter, **small_on(runs, chapter))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert {**timeless(), "git_commit": first["git_commit"]} == first
    assert f", {count} were there" in again["printed"]


def test_other_maps_and_damaged_masks_are_refused_before_any_training(runs, tmp_path):
    with pytest.raises(ValueError, match="maps of other images than the 7 here"):
        run_chapter("voc_masks", tmp_path / "out", **small_on(runs, "voc_masks", num_images=7))
    masks = tmp_path / "run" / "masks" / "rib_irn"
    shutil.copytree(runs / "voc_masks" / "masks" / "rib_irn", masks)
    broken = masks / "s3_train_000004.png"
    broken.write_bytes(broken.read_bytes()[:100])
    given = small_on(runs, "voc_segmentation", masks=str(tmp_path / "run"))
    with pytest.raises(ValueError, match=r"s3_train_000004"):
        run_chapter("voc_segmentation", tmp_path / "out", **given)
    with pytest.raises(ValueError, match=r"no mask of it in .*rib_iron"):
        run_chapter("voc_segmentation", tmp_path / "out", **given | {"supervision": ["rib_iron"]})
    assert not [*(tmp_path / "out").rglob("training*"), *(tmp_path / "out").rglob("*.safetensors")]
