"""The settings of every chapter, and how it starts and ends: presets, refusals, hash, result."""

import json

import pytest
import torch
from chapters import Book
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from small_results import NEEDED

from ribnb.book import CHAPTERS, finish, start
from ribnb.book.chapters import in_force
from ribnb.book.scenes import TRAINED
from ribnb.book.splits import IMAGENET
from ribnb.core.parameters import flat, nested
from ribnb.core.settings import SettingsError
from ribnb.masks.crf import CRFSettings, crf_available
from ribnb.masks.irn import IRNSettings
from ribnb.method.settings import RIBSettings
from ribnb.nets.classifier import ClassifierSettings
from ribnb.segmentation.training import SegmentationSettings

VOC = {"dataset": "voc", "data_root": "data"}


def of(chapter, **parameters):
    """Its settings; names may be dotted, as on the command line."""
    return CHAPTERS[chapter].from_mapping(nested(parameters))


def on_voc(chapter, **parameters):
    return of(chapter, **VOC, **NEEDED.get(chapter, {}), **parameters)


def on_photos(chapter):
    return of(chapter, **{**VOC, "dataset": "photographs"}, **NEEDED.get(chapter, {}))


# Presets --------------------------------------------------------------------------------

WATCHED = {"seed": 3, "validate_each_epoch": True}


@pytest.mark.parametrize(
    ("settings", "name", "expected"),
    [
        (of("voc_rib"), "rib", RIBSettings.scenes("paper", seed=3)),
        (of("voc_rib", variant="released"), "rib", RIBSettings.scenes("released", seed=3)),
        (on_voc("voc_rib", variant="released"), "rib", RIBSettings.released(seed=3)),
        (on_voc("voc_rib", variant="paper", seed=4), "rib", RIBSettings.paper(seed=4)),
        (of("rib"), "rib", RIBSettings.scenes()),
        (of("voc_classifier"), "recipe", ClassifierSettings.scenes(epochs=5, **WATCHED)),
        (on_voc("voc_classifier"), "recipe", ClassifierSettings(**WATCHED)),
        (
            on_voc("voc_classifier", variant="released"),
            "recipe",
            ClassifierSettings.released(**WATCHED),
        ),
        (of("voc_masks"), "irn", IRNSettings.scenes("rib", seed=3)),
        (on_voc("voc_masks"), "irn", IRNSettings.rib(seed=3)),
        (on_photos("voc_masks"), "irn", IRNSettings.photographs("rib", seed=3)),
        (on_photos("voc_segmentation"), "segment", SegmentationSettings.photographs(seed=3)),
        (of("voc_segmentation"), "segment", SegmentationSettings.scenes(seed=3)),
        (on_voc("voc_segmentation"), "segment", SegmentationSettings.voc(seed=3)),
    ],
)
def test_a_group_has_the_preset_of_data_set_and_variant(settings, name, expected):
    assert getattr(settings, name) == expected


def test_net_and_numbers_of_images_are_those_of_the_data_set():
    for chapter, scenes, voc in (
        ("voc_classifier", ("scenes", "random", 200), ("resnet50", IMAGENET, 0)),
        ("voc_segmentation", ("scenes", "theta_0", 100), ("resnet101", IMAGENET, 0)),
    ):
        for settings, expected in ((of(chapter), scenes), (on_voc(chapter), voc)):
            number = settings.data.num_validation
            assert (settings.net.arch, settings.net.weights, number) == expected


def test_a_cam_has_the_views_of_the_adaptation_and_no_step():
    assert of("voc_classifier").cam == RIBSettings.scenes(iterations=0, seed=3)
    assert on_voc("voc_classifier").cam == RIBSettings.paper(iterations=0, seed=3)
    for seed in TRAINED:  # the maps of voc_masks are those that voc_rib makes
        assert of("voc_masks", seed=seed).maps == of("voc_rib", seed=seed).rib


def test_cams_keep_the_baselines_values_where_the_two_kinds_differ():
    for settings, baseline in (
        (of("voc_masks"), IRNSettings.scenes("baseline")),
        (on_voc("voc_masks"), IRNSettings()),
        (on_photos("voc_masks"), IRNSettings.photographs("baseline")),
    ):
        changed = settings.replace(irn={"walk_background": 0.9, "walk_radius": 3})
        assert changed.irn_for("cam") == baseline.replace(seed=3, walk_radius=3)
        assert changed.irn_for("rib") == changed.irn


@pytest.mark.skipif(not crf_available(), reason="no pydensecrf2 here")
def test_the_crf_is_that_of_the_stage_and_can_be_switched_off():
    assert of("voc_masks").crf_settings == of("voc_segmentation").crf_settings
    assert on_voc("voc_masks").crf_settings == CRFSettings()
    assert on_voc("voc_segmentation").crf_settings == CRFSettings.deeplab()
    assert of("voc_masks", crf=False).crf_settings is None


# What is refused, and which path is to blame ---------------------------------------------


@pytest.mark.parametrize(
    ("chapter", "values", "path", "message"),
    [
        ("voc_rib", {"rib.iteration": 5}, "rib.iteration", "did you mean 'iterations'"),
        ("voc_rib", {"rib.variant": "paper"}, "rib", "variant is the chapter's own"),
        ("voc_rib", {"dataset": "voc"}, "", "needs a data_root"),
        ("voc_rib", {"data.classes": ["cat"]}, "", "some of a folder's: give its data_root"),
        ("voc_rib", {**VOC}, "", "name a classifier.safetensors"),
        ("voc_rib", {"seed": 9}, "", "Only scenes of the seeds 3, 4, 5 have one here"),
        ("voc_classifier", {"variant": "released"}, "", "ImageNet's weights, which scenes do not"),
        ("voc_masks", {**VOC}, "", "dataset = 'voc' needs maps_run, a run of voc_rib"),
        ("voc_segmentation", {**VOC}, "", "dataset = 'voc' needs masks, a run of voc_masks"),
        ("voc_segmentation", {"seed": 9}, "", "no classifier for dataset = 'scenes' and seed = 9"),
        ("voc_masks", {"net.weights": IMAGENET}, "", "no weights of the net scenes"),
        ("rib", {"nets": 4}, "", "only the nets of the seeds 3, 4, 5 come trained"),
        ("ablations", {"results": "nowhere"}, "", "results = 'nowhere' is no folder"),
    ],
)
def test_a_value_is_refused_with_its_path(chapter, values, path, message):
    with pytest.raises(SettingsError, match=f"(?s){message}") as refusal:
        of(chapter, **values)
    assert [*refusal.value.faults] == [path]


# Hash -----------------------------------------------------------------------------------


SILENT = {
    *("data_root", "device", "workers", "output_dir", "classifier", "maps_run", "masks", "results"),
    *("download", "recipe.validate_each_epoch", "data.saliency", "net.classifier", "net.irn_cam"),
    "data.classes",  # where none are named
    *("rib.others", "rib.pool_size"),  # where others are fresh
    *("net.irn_rib", "net.weights of voc_masks"),  # the weights of a trunk are in IRN's digest
}


def test_the_fields_that_do_not_change_a_result_are_known():
    silent = set()
    for chapter, kind in CHAPTERS.items():
        settings = of(chapter)
        names = flat(settings.as_dict()).keys() - flat(settings.identity()).keys()
        silent |= {f"{name} of {chapter}" if name == "net.weights" else name for name in names}
        again = kind.from_mapping(json.loads(json.dumps(settings.as_dict())))
        assert (again, again.hash()) == (settings, settings.hash())
    assert silent == SILENT


HASHES = {  # stored results are known by these
    "toy_bottleneck": "0460d8589407",
    "rib_loss": "458c272fefb2",
    "cam_and_gndrp": "52560484c737",
    "rib": "a8602fa07d55",
    "photographs": "c894c925c6cf",
    "voc_classifier": "69dbf81fa640",
    "voc_rib": "8c2b3027f960",
    "voc_masks": "6ce97e3abe1a",
    "voc_segmentation": "92c3a3c40063",
    "ablations": "cf9a2fe6e25d",
    "paper_and_code": "f3c260f95abf",
    "scoreboard": "ef1c228272bc",
}


def test_the_hashes_are_those_that_stored_results_have():
    assert {chapter: of(chapter).hash() for chapter in CHAPTERS} == HASHES


def test_some_classes_are_another_run():
    some = on_voc("voc_rib", **{"data.classes": ["cat", "dog"]})
    assert some.identity()["data"]["classes"] == ["cat", "dog"]
    for text in ("cat,dog", "[cat, dog]"):
        assert on_voc("voc_rib", **{"data.classes": text}) == some
    assert some.hash() != on_voc("voc_rib").hash()


# What comes along with the package --------------------------------------------------------


def test_classifiers_and_irns_are_named_or_come_along_or_must_be_trained():
    for chapter, name in (("voc_rib", "classifier"), ("voc_masks", "net.classifier")):
        assert of(chapter, seed=4).classifier_path.name == "scenes_4.safetensors"
        assert of(chapter, seed=9, **{name: "a"}).classifier_path.as_posix() == "a"
    settings = of("voc_masks")
    assert settings.trained_irn("rib").name == "scenes_3_irn_rib.safetensors"
    assert of("voc_masks", **{"net.irn_cam": "a"}).trained_irn("cam").as_posix() == "a"
    for own in (
        *({"net.retrain": True}, {"net.classifier": "a"}, {"maps_run": "runs"}),
        *({"irn.epochs": 2}, {"irn.background_threshold": 0.1}),
    ):
        assert of("voc_masks", **own).trained_irn("rib") is None
        assert of("voc_masks", **own).packaged_seeds == []
    assert settings.packaged_seeds == list(TRAINED)


def test_networks_come_along_for_these_settings_alone():
    assert of("voc_segmentation").packaged
    assert of("voc_segmentation").other_seeds == [4, 5]
    assert of("voc_segmentation", seed=4).replace(seed=5) == of("voc_segmentation", seed=5)
    for own in (
        *({"num_images": 5}, {"net.retrain": True}, {"masks": "m"}, {"split": "val"}),
        *({"segment.steps": 3}, {"net.weights": "random"}, {"net.arch": "resnet18"}),
    ):
        settings = of("voc_segmentation", **own)
        assert not settings.packaged and settings.trained("truth") is None
    asked = of("voc_segmentation", **{"segment.test_flip": False})
    assert asked.packaged, "how a network is asked does not change what it learned"


# Images -----------------------------------------------------------------------------------


def test_drawn_scenes_are_those_of_split_and_seed_and_only_listed_ones_are_scored():
    settings = of("voc_rib", num_images=4, seed=4)
    images = settings.images()
    assert list(images.ids) == [f"s4_train_{n:06}" for n in range(4)] == settings.scored_ids(images)
    assert settings.replace(split="train_aug").images().ids == images.ids
    assert len(of("voc_rib", num_images=0).images()) == 3000
    scored = settings.replace(data={"score_on": "train"}).scored_ids(images)
    assert scored == list(images.ids)
    with pytest.raises(SettingsError, match=r"score_on = 'val': none of the 4 images"):
        settings.replace(data={"score_on": "val"}).scored_ids(images)


# Start and end ----------------------------------------------------------------------------


def test_settings_and_run_are_those_of_the_namespace(tmp_path, capsys):
    torch.set_num_threads(2)
    voc = {"dataset": "voc", "data_root": str(tmp_path), "classifier": "net.safetensors"}
    start("voc_rib", voc)
    assert torch.get_num_threads() == 2
    given = {"num_images": 6, "rib": {"iterations": 5}, "output_dir": str(tmp_path)}
    settings, run = start("voc_rib", {**given, "x": 1})
    assert settings == CHAPTERS["voc_rib"](**given)
    assert (run.chapter, run.settings, run.folder) == ("voc_rib", settings, tmp_path)
    assert torch.get_num_threads() == 1, "for scenes"
    assert "rib.iterations" in capsys.readouterr().out
    settings, run = start("ablations", {"resamples": 20})
    assert (settings.resamples, run) == (20, None)


def injected(**parameters) -> str:
    """The cell that papermill itself puts into the chapter, with only a warning of a wrong name."""
    notebook = load_notebook_node(str(Book().notebook("voc_rib")))
    cells = parameterize_notebook(notebook, parameters).cells
    (cell,) = (cell for cell in cells if "injected-parameters" in cell.metadata.tags)
    return cell.source


def test_what_papermill_injects_and_nobody_reads_is_refused():
    cells = ["", "seed = 3", injected(seed=4, rb={"iterations": 5})]
    with pytest.raises(SettingsError, match=r"voc_rib has no parameter 'rb'; did you mean 'rib'"):
        start("voc_rib", {"seed": 4, "In": cells})
    with pytest.raises(SettingsError, match="no chapter 'voc_ribs'; there are toy_bottleneck, "):
        start("voc_ribs", {})
    again = [*cells, injected(seed=5)]  # after a correction the last such cell counts
    assert start("voc_rib", {"seed": 5, "In": again})[0].seed == 5


def test_the_table_has_every_setting_that_decides_the_result():
    for chapter in CHAPTERS:
        rows = in_force(of(chapter))
        assert [name for name, _, _ in rows] == [*flat(of(chapter).identity())]
        assert all(meaning for _, _, meaning in rows)


def test_the_end_writes_the_result_and_says_what_was_left_out(tmp_path, capsys):
    _, run = start("voc_rib", {"output_dir": str(tmp_path)})
    capsys.readouterr()
    about = {"split": "train", "images": 1, "seed": 3, "failures": {"a": "it is broken"}}
    result = finish(run, {"seed_miou": 50.0}, **about)
    assert capsys.readouterr().out == "left out: a: it is broken\n"
    assert json.loads((tmp_path / "result.json").read_text()) == result
    assert result["settings"]["rib"]["iterations"] == 10
