"""The settings of every chapter: their presets, what they refuse and where, and their hash."""

import json

import pytest

from ribnb.book.chapters import CHAPTERS
from ribnb.book.scenes import TRAINED
from ribnb.book.splits import IMAGENET
from ribnb.core.settings import SHARED, SettingsError, flat, merged, nested
from ribnb.masks.crf import CRFSettings, crf_available
from ribnb.masks.irn_settings import IRNSettings
from ribnb.method.settings import RIBSettings
from ribnb.nets.classifier import ClassifierSettings
from ribnb.segmentation.settings import SegmentationSettings

VOC = {"dataset": "voc", "data_root": "data"}
NEEDED = {  # on VOC: what an earlier chapter left
    "voc_classifier": {},
    "voc_rib": {"classifier": "net.safetensors"},
    "voc_masks": {"maps_run": "runs/rib"},
    "voc_segmentation": {"masks": "runs/masks"},
}


def of(chapter, **parameters):
    """Its settings; names may be dotted, as on the command line."""
    return CHAPTERS[chapter].from_mapping(nested(parameters))


def on_voc(chapter, **parameters):
    return of(chapter, **VOC, **NEEDED[chapter], **parameters)


# Presets --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "name", "expected"),
    [
        (of("voc_rib"), "rib", RIBSettings.scenes("paper", seed=3)),
        (of("voc_rib", variant="released"), "rib", RIBSettings.scenes("released", seed=3)),
        (on_voc("voc_rib", variant="released"), "rib", RIBSettings.released(seed=3)),
        (on_voc("voc_rib", variant="paper", seed=4), "rib", RIBSettings.paper(seed=4)),
        (of("rib"), "rib", RIBSettings.scenes()),
        (
            of("voc_classifier"),
            "recipe",
            ClassifierSettings.scenes(epochs=6, seed=3, validate_each_epoch=True),
        ),
        (
            on_voc("voc_classifier"),
            "recipe",
            ClassifierSettings(seed=3, validate_each_epoch=True),
        ),
        (
            on_voc("voc_classifier", variant="released"),
            "recipe",
            ClassifierSettings.released(seed=3, validate_each_epoch=True),
        ),
        (of("voc_masks"), "irn", IRNSettings.scenes("rib", seed=3)),
        (on_voc("voc_masks"), "irn", IRNSettings.rib(seed=3)),
        (of("voc_segmentation"), "segment", SegmentationSettings.scenes(seed=3)),
        (on_voc("voc_segmentation"), "segment", SegmentationSettings.voc(seed=3)),
    ],
)
def test_a_group_has_the_preset_of_data_set_and_variant(settings, name, expected):
    assert getattr(settings, name) == expected


@pytest.mark.parametrize(
    ("settings", "arch", "weights"),
    [
        (of("voc_classifier"), "scenes", "random"),
        (on_voc("voc_classifier"), "resnet50", IMAGENET),
        (of("voc_masks"), "scenes", "theta_0"),
        (on_voc("voc_masks"), "resnet50", IMAGENET),
        (of("voc_segmentation"), "scenes", "theta_0"),
        (on_voc("voc_segmentation"), "resnet101", IMAGENET),
    ],
)
def test_the_net_is_that_of_the_data_set(settings, arch, weights):
    assert (settings.net.arch, settings.net.weights) == (arch, weights)


def test_the_numbers_of_images_are_those_of_the_data_set():
    assert of("voc_classifier").data.num_training == 1600
    assert on_voc("voc_classifier").data.num_training == 0
    assert of("voc_segmentation").data.num_validation == 100
    assert on_voc("voc_segmentation").data.num_validation == 0


def test_a_cam_has_the_views_of_the_adaptation_and_no_step():
    settings = of("voc_rib", **{"rib.flip": False})
    assert settings.cam == settings.rib.replace(iterations=0)
    assert of("voc_classifier").cam == RIBSettings.scenes(iterations=0, seed=3)
    assert on_voc("voc_classifier").cam == RIBSettings.paper(iterations=0, seed=3)


def test_the_maps_of_the_masks_are_those_that_voc_rib_makes():
    for seed in TRAINED:
        assert of("voc_masks", seed=seed).maps == of("voc_rib", variant="released", seed=seed).rib


@pytest.mark.parametrize("settings", [of("voc_masks"), on_voc("voc_masks")])
def test_cams_keep_the_baselines_values_where_the_two_kinds_differ(settings):
    changed = settings.replace(irn={"walk_background": 0.9, "walk_radius": 3})
    baseline = IRNSettings.scenes("baseline") if settings.dataset == "scenes" else IRNSettings()
    expected = baseline.replace(seed=3, walk_radius=3)
    assert changed.irn_for("cam") == expected
    assert changed.irn_for("rib") == changed.irn


@pytest.mark.skipif(not crf_available(), reason="no pydensecrf2 here")
def test_the_crf_is_that_of_the_stage_and_can_be_switched_off():
    assert of("voc_masks").crf_settings == of("voc_segmentation").crf_settings
    assert on_voc("voc_masks").crf_settings == CRFSettings()
    assert on_voc("voc_segmentation").crf_settings == CRFSettings.deeplab()
    assert of("voc_masks", crf=False).crf_settings is None


# What is refused, and which path is to blame ---------------------------------------------

REFUSED = [
    ("voc_rib", {"rib.iteration": 5}, "rib.iteration", "did you mean 'iterations'"),
    ("voc_rib", {"iterations": 5}, "iterations", "has no parameter 'iterations'"),
    ("voc_rib", {"rib.scales": [0.5]}, "rib", "1 must come first"),
    ("voc_rib", {"rib.loss_scales": [3]}, "rib", "must be different ones of scales"),
    ("voc_rib", {"rib.variant": "paper"}, "rib", "variant is the chapter's own"),
    ("voc_rib", {"variant": "papers"}, "variant", "one of 'paper' or 'released'"),
    ("voc_rib", {"data.score_onn": "x"}, "data.score_onn", "did you mean 'score_on'"),
    ("voc_rib", {"shard": "2/2"}, "", "shard"),
    ("voc_rib", {"dataset": "voc"}, "", "needs a data_root"),
    ("voc_rib", {**VOC}, "", "name a classifier.safetensors"),
    ("voc_rib", {"seed": 9}, "", "Only scenes of the seeds 3, 4, 5 have one here"),
    ("voc_classifier", {"variant": "released"}, "", "ImageNet's weights, which scenes do not"),
    ("voc_classifier", {"recipe.long_side_min": 9}, "recipe", "are no range of pixels"),
    ("voc_classifier", {"recipe.momentum": 0}, "recipe", "nesterov = True needs a momentum"),
    ("voc_classifier", {"net.arch": "vgg"}, "net.arch", "it must be one of 'scenes', 'resnet18'"),
    ("voc_masks", {**VOC}, "", "maps_run = '' with dataset = 'voc'"),
    ("voc_masks", {"irn.foreground_threshold": 0.1}, "irn", "must not be above foreground"),
    ("voc_masks", {"seed": 9}, "", "net.classifier = '' with"),
    ("voc_masks", {"net.weights": IMAGENET}, "", "torchvision has none of 'scenes'"),
    ("voc_masks", {"net.arch": "resnet18"}, "", "the classifier that comes with these scenes"),
    (
        "voc_masks",
        {**VOC, "maps_run": "runs", "net.classifier": "a"},
        "",
        "net.classifier = 'a' would not be used",
    ),
    ("voc_segmentation", {"segment.scale_min": 3}, "segment", "are no range"),
    ("voc_segmentation", {"supervision": []}, "supervision", "at least 1"),
    ("voc_segmentation", {"supervision": ["truth", "truth"]}, "", "names one kind twice"),
    ("voc_segmentation", {"seed": 9}, "", "masks = '': name the folder"),
    (
        "voc_segmentation",
        {"seed": 9, "supervision": ["truth"]},
        "",
        "net.classifier = '' with dataset",
    ),
    ("voc_segmentation", {**VOC}, "", "masks = '': name the folder"),
    (
        "voc_segmentation",
        {**VOC, "masks": "m", "net.classifier": "a"},
        "",
        "net.classifier = 'a' would not be used",
    ),
    ("rib", {"rib.iterations": 0}, "", "this chapter looks at steps"),
    ("rib", {"nets": 4}, "", "only the nets of the seeds 3, 4, 5 come trained"),
    ("cam_and_gndrp", {"threshold": 1.1}, "threshold", "at most 1"),
    ("ablations", {"results": "nowhere"}, "", "results = 'nowhere' is no folder"),
    ("paper_and_code", {"seed": 9}, "seed", "one of 3, 4 or 5"),
    ("scoreboard", {"result": ""}, "result", "did you mean 'results'"),
]


@pytest.mark.parametrize(("chapter", "values", "path", "message"), REFUSED)
def test_a_value_is_refused_with_its_path(chapter, values, path, message):
    with pytest.raises(SettingsError, match=f"(?s){message}") as refusal:
        of(chapter, **values)
    assert refusal.value.paths == [path]


# Hash -----------------------------------------------------------------------------------


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_result_gives_its_settings_back(chapter):
    settings = of(chapter)
    again = CHAPTERS[chapter].from_mapping(json.loads(json.dumps(settings.as_dict())))
    assert again == settings
    assert again.hash() == settings.hash()


def other(field, value):
    """A value of a field that is allowed, and another than the one it has."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, float):
        return value / 2 or 0.25
    if isinstance(value, int):
        return value + 1
    if isinstance(value, list):
        return value[:-1] if len(value) > 1 else [*value, 0.5]
    choices = [one for one in str(field.annotation).split("'")[1::2] if one != value]
    if "Literal" in str(field.annotation) and choices:
        return choices[0]
    return 2 if value is None else f"{value}_other"


def of_field(kind, path):
    *groups, name = path.split(".")
    for group in groups:
        kind = kind.model_fields[group].annotation
    return kind.model_fields[name]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_hash_changes_with_every_field_that_changes_the_result_and_no_other(chapter):
    """Of the values themselves, so that no two fields have to go together."""
    kind, values = CHAPTERS[chapter], of(chapter).as_dict()
    for path, value in flat(values).items():
        field = of_field(kind, path)
        changed = merged(values, nested({path: other(field, value)}))
        counts = field.json_schema_extra["identity"]
        assert (kind.identity_of(changed) != kind.identity_of(values)) == counts, path


ELSEWHERE = {
    *("data_root", "device", "workers", "output_dir", "classifier", "maps_run", "masks"),
    *("results", "download", "recipe.validate_each_epoch", "data.saliency", "net.classifier"),
    *("net.irn_cam", "net.irn_rib"),
}


def test_what_does_not_change_a_result_is_known():
    silent = {
        path
        for chapter, kind in CHAPTERS.items()
        for path in flat(of(chapter).as_dict())
        if not of_field(kind, path).json_schema_extra["identity"]
    }
    assert silent - {"net.weights"} == ELSEWHERE  # the trunk's weights are in IRN's digest


def test_a_group_has_what_its_chapter_has():
    groups = {"voc_rib": "rib", "voc_masks": "irn", "voc_segmentation": "segment"}
    for chapter, name in groups.items():
        settings = on_voc(chapter, seed=7, precision="bfloat16")
        group = getattr(settings, name)
        assert (group.seed, group.precision) == (7, "bfloat16")
        assert not settings.as_dict()[name].keys() & {*SHARED}


# What comes along with the package --------------------------------------------------------


def test_trained_irns_are_named_or_come_along_or_must_be_trained():
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
        *({"segment.steps": 3}, {"net.weights": "random"}),
    ):
        settings = of("voc_segmentation", **own)
        assert not settings.packaged and settings.trained("truth") is None
    asked = of("voc_segmentation", **{"segment.test_flip": False})
    assert asked.packaged, "how a network is asked does not change what it learned"


def test_a_classifier_is_named_or_comes_along():
    for chapter, name in (("voc_rib", "classifier"), ("voc_masks", "net.classifier")):
        assert of(chapter, seed=4).classifier_path.name == "scenes_4.safetensors"
        assert of(chapter, seed=9, **{name: "a"}).classifier_path.as_posix() == "a"


# Images -----------------------------------------------------------------------------------


def test_drawn_scenes_are_those_of_split_and_seed():
    images = of("voc_rib", num_images=4, seed=4).images()
    assert list(images.ids) == [f"s4_train_{n:06}" for n in range(4)]
    same = of("voc_rib", num_images=4, seed=4, split="train_aug").images()
    assert list(same.ids) == list(images.ids)
    assert len(of("voc_rib", num_images=0).images()) == 3000
    with pytest.raises(SettingsError, match="have the splits train_aug, train"):
        of("voc_rib", split="trainval").images()


def test_only_listed_images_are_scored():
    images = of("voc_rib", num_images=4).images()
    assert of("voc_rib", num_images=4).scored_ids(images) == list(images.ids)
    scored = of("voc_rib", num_images=4, **{"data.score_on": "train"}).scored_ids(images)
    assert scored == list(images.ids)
    with pytest.raises(SettingsError, match=r"score_on = 'val': none of the 4 images"):
        of("voc_rib", num_images=4, **{"data.score_on": "val"}).scored_ids(images)
