"""Settings of the chapter on segmentation networks: masks, start, images; nothing is ignored."""

import dataclasses

import pytest
import torch

from ribnb.book.voc_segmentation_settings import (
    IN_VIEW,
    SHARED,
    SUPERVISION,
    TRUTH,
    VOCSegmentationSettings,
)
from ribnb.book.voc_settings import IMAGENET
from ribnb.core.settings import SettingsError
from ribnb.masks import scene_masks
from ribnb.masks.crf_settings import CRFSettings
from ribnb.nets.deeplab import SCENE_RATES, DeepLabV2
from ribnb.nets.models import CAMNet
from ribnb.nets.scene_nets import CHECKPOINTS
from ribnb.segmentation.files import segmentation_digest
from ribnb.segmentation.settings import SegmentationSettings

VOC = {"dataset": "voc", "data_root": "data", "masks": "run"}
# Odd values, which no preset has.
ASKING = {"test_scales": (0.55, 1.05), "test_flip": False}
TRAINING = {
    "steps": 7,
    "batch_size": 3,
    "learning_rate": 0.031,
    "head_factor": 3.3,
    "bias_factor": 1.3,
    "momentum": 0.53,
    "weight_decay": 1.1e-3,
    "power": 0.55,
    "frozen_batch_norm": False,
    "crop_size": 61,
    "scale_min": 0.71,
    "scale_max": 1.21,
    "flip": False,
}
GIVEN = TRAINING | ASKING


def voc(**values) -> VOCSegmentationSettings:
    return VOCSegmentationSettings(**{**VOC, **values})


def new(**values) -> VOCSegmentationSettings:
    """Of scenes, with all networks to be trained."""
    return VOCSegmentationSettings(retrain=True, **values)


# Presets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_is_not_given_is_the_presets(precision):
    shared = {"seed": 5, "precision": precision}
    scenes = VOCSegmentationSettings(**shared)
    assert scenes.recipe == SegmentationSettings.scenes(**shared)
    assert voc(**shared).recipe == SegmentationSettings.voc(**shared)


def test_net_start_and_images_are_the_data_sets():
    names = ("arch", "weights", "num_validation")
    found = [[getattr(one, n) for n in names] for one in (VOCSegmentationSettings(), voc())]
    assert found == [["scenes", "theta_0", 100], ["resnet101", IMAGENET, 0]]


@pytest.mark.parametrize("given", [{}, VOC])
def test_no_field_is_left_open(given):
    assert None not in VOCSegmentationSettings(**given).as_dict().values()


@pytest.mark.parametrize("settings", [voc(**GIVEN), new(**GIVEN)])
def test_given_values_win(settings):
    fields = {one.name for one in dataclasses.fields(SegmentationSettings)}
    assert GIVEN.keys() | {*SHARED} == fields
    assert {name: getattr(settings.recipe, name) for name in GIVEN} == GIVEN


def test_zero_is_a_given_value():
    """None alone means the preset's."""
    assert VOCSegmentationSettings(num_validation=0).num_validation == 0


def test_lists_as_papermill_gives_them_are_tuples():
    settings = VOCSegmentationSettings(supervision=[TRUTH, "rib_irn"], test_scales=[1, 2])
    assert (settings.supervision, settings.recipe.test_scales) == ((TRUTH, "rib_irn"), (1.0, 2.0))


def test_the_crf_after_the_network_is_that_of_the_data_set():
    assert VOCSegmentationSettings().crf_settings == CRFSettings.scenes()
    assert voc().crf_settings == CRFSettings.deeplab()
    assert voc(crf=False).crf_settings is None


def test_networks_are_scored_on_images_that_no_step_has_seen():
    settings = VOCSegmentationSettings(seed=4, num_validation=5)
    unseen = settings.validation_images()
    assert len(unseen) == 5
    assert all(name.startswith("s4_val") for name in unseen.ids)
    assert not set(unseen.ids) & set(settings.images().ids)


# Trained networks -------------------------------------------------------------------------


@pytest.fixture
def networks(tmp_path, monkeypatch):
    """Files where networks that come along would lie; a settings object only asks for them."""
    monkeypatch.setattr(scene_masks, "CHECKPOINTS", tmp_path)
    for seed, kinds in {3: SUPERVISION, 4: SUPERVISION, 5: SUPERVISION[:2]}.items():
        for kind in kinds:
            scene_masks.network_path(seed, kind).touch()
    return tmp_path


def test_a_network_that_comes_along_is_taken(networks):
    settings = VOCSegmentationSettings(seed=4)
    for kind in SUPERVISION:
        assert settings.trained(kind) == networks / f"scenes_4_deeplab_{kind}.safetensors"
    assert settings.trained("by_hand") is None
    assert VOCSegmentationSettings(seed=5).trained(TRUTH) is None
    assert IN_VIEW in SUPERVISION


@pytest.mark.parametrize(
    "given",
    [
        {"retrain": True},
        {"masks": "run"},
        {"classifier": "other"},
        {"num_images": 399},
        {"num_images": 0},
        {"split": "val"},
        {"data_root": "elsewhere", "masks": "run"},
        {"seed": 6, "weights": "random", "supervision": (TRUTH,)},
        VOC,
    ],
)
def test_networks_are_trained_where_none_was_for_this(networks, given):
    settings = VOCSegmentationSettings(**given)
    assert not settings.packaged
    assert settings.trained("rib_irn") is None


def test_train_aug_of_drawn_scenes_is_train(networks):
    assert VOCSegmentationSettings(split="train_aug").trained("rib_irn")


def test_other_seeds_are_those_with_a_network_for_every_kind(networks):
    assert VOCSegmentationSettings().other_seeds == [4]
    assert VOCSegmentationSettings(seed=5).other_seeds == [3, 4]
    assert VOCSegmentationSettings(supervision=SUPERVISION[:2]).other_seeds == [4, 5]
    assert VOCSegmentationSettings(supervision=("by_hand",)).other_seeds == []


def test_the_same_with_another_seed():
    settings = VOCSegmentationSettings(num_validation=5, **ASKING)
    there = settings.of_seed(4)
    assert there == VOCSegmentationSettings(seed=4, num_validation=5, **ASKING)
    assert there.recipe.seed == 4


# What would be ignored --------------------------------------------------------------------

IGNORED = TRAINING | {"arch": "resnet18", "weights": "random"}


@pytest.mark.parametrize("name", IGNORED)
def test_a_parameter_of_a_training_that_does_not_happen_is_refused(name):
    value = IGNORED[name]
    message = f"trained otherwise: {name} is .* there, {value!r} here. With retrain = True"
    with pytest.raises(SettingsError, match=message):
        VOCSegmentationSettings(**{name: value})
    assert getattr(new(**{name: value}), name) == value
    assert getattr(VOCSegmentationSettings(num_images=50, **{name: value}), name) == value


@pytest.mark.parametrize("name", ASKING)
def test_a_trained_network_may_be_asked_otherwise(name):
    asked = VOCSegmentationSettings(**{name: ASKING[name]})
    assert asked.packaged
    assert getattr(asked.recipe, name) == ASKING[name]


def test_what_is_the_presets_may_be_given():
    given = {name: getattr(VOCSegmentationSettings(), name) for name in GIVEN}
    assert VOCSegmentationSettings(**given) == VOCSegmentationSettings()


# What is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dataset": "voc"}, r"dataset = 'voc' needs a data_root.*get_voc\.py"),
        (VOC | {"masks": ""}, r"masks = '': name the folder .* voc_masks, or .* \['truth'\]"),
        ({"data_root": "data"}, "masks = '': .* Only drawn scenes of the seeds 3, 4, 5"),
        ({"seed": 6}, "masks = '': "),
        ({"seed": 6, "masks": "run"}, "weights = 'theta_0' with .* seed = 6: .* or .* 'random'"),
        (VOC | {"weights": "theta_0"}, "weights = 'theta_0' with dataset = 'voc'"),
        (VOC | {"classifier": "net"}, f"'net' would not be used: .* weights = '{IMAGENET}'"),
        ({"classifier": "net", "weights": "random"}, "'net' would not be used"),
        (VOC | {"arch": "scenes"}, "torchvision has none of 'scenes'"),
        ({"weights": IMAGENET}, "torchvision has none of 'scenes'"),
        ({"arch": "vgg16"}, "arch = 'vgg16' is not allowed"),
        ({"supervision": []}, "supervision = .*at least one item"),
        ({"supervision": "truth"}, "supervision = 'truth'; it must be a list of str"),
        ({"supervision": [1]}, "supervision = 1 is of type int"),
        ({"supervision": [TRUTH, TRUTH]}, r"supervision = \['truth', 'truth'\] names one .* twice"),
        ({"num_validation": -1}, "num_validation = -1 is not allowed"),
        ({"test_scales": [0]}, r"test_scales = 0 is not allowed; it must be greater than 0"),
        ({"steps": 0}, "steps = 0 is not allowed; it must be at least 1"),
        (VOC | {"scale_min": 2, "scale_max": 1}, r"scale_min = 2\.0 .* are no range"),
    ],
)
def test_refuses_what_cannot_work_before_anything_is_made(values, message):
    with pytest.raises(SettingsError, match=message):
        VOCSegmentationSettings(**values)


def test_the_truth_needs_no_masks():
    """Full supervision alone."""
    for given in ({"dataset": "voc"}, {}):
        settings = VOCSegmentationSettings(data_root="data", supervision=(TRUTH,), **given)
        assert settings.masks == ""


# The network ------------------------------------------------------------------------------


def test_the_start_is_the_classifiers_backbone_and_leaves_no_trace():
    before = torch.get_rng_state()
    net = VOCSegmentationSettings(seed=4).net(6)
    assert torch.equal(torch.get_rng_state(), before)
    source = CAMNet("scenes", 6, weights=CHECKPOINTS / "scenes_4.safetensors")
    assert torch.equal(net.backbone.conv1.weight, source.backbone.conv1.weight)
    assert net.atrous_rates == SCENE_RATES[net.output_stride]


def test_networks_of_one_seed_start_from_one_point():
    """So that they differ in their masks alone."""
    starts = [segmentation_digest(new(weights="random", seed=seed).net(6)) for seed in (3, 3, 4)]
    assert starts[0] == starts[1] != starts[2]
    assert segmentation_digest(new(seed=3).net(6)) not in starts


def test_a_classifier_that_is_named_is_the_start():
    path = CHECKPOINTS / "scenes_4.safetensors"
    named = new(seed=8, classifier=str(path), supervision=(TRUTH,), data_root="data").net(6)
    own = VOCSegmentationSettings(seed=4).net(6)
    assert torch.equal(named.backbone.conv1.weight, own.backbone.conv1.weight)


def test_the_network_of_photographs_has_the_rates_of_the_paper(tmp_path):
    path = tmp_path / "backbone.pth"
    source = CAMNet("resnet18", 3)
    torch.save(source.backbone.state_dict(), path)
    net = voc(arch="resnet18", weights=str(path)).net(20)
    assert (net.arch, net.num_classes, net.output_stride) == ("resnet18", 20, 8)
    assert net.atrous_rates == DeepLabV2("resnet18").atrous_rates
    assert torch.equal(net.backbone.conv1.weight, source.backbone.conv1.weight)


def test_weights_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit resnet18"):
        new(arch="resnet18").net(6)
    with pytest.raises(FileNotFoundError, match="no weights at nowhere"):
        new(weights="nowhere").net(6)


# Hash -------------------------------------------------------------------------------------

TOGETHER = {"retrain": True, "masks": "run", "data_root": "data", "weights": "random"}
OTHER = GIVEN | {
    "dataset": "voc",
    "split": "val",
    "num_images": 7,
    "labels_from": "masks",
    "supervision": (TRUTH,),
    "arch": "resnet18",
    "weights": "other.pth",
    "validation_split": "train",
    "num_validation": 7,
    "crf": False,
    "retrain": False,
    "seed": 4,
    "precision": "bfloat16",
}
ELSEWHERE = {
    "data_root": "there",
    "masks": "run/2",
    "classifier": "y",
    "device": "cpu",
    "workers": 2,
    "output_dir": "runs/1",
}


def test_every_setting_is_covered_here():
    fields = {one.name for one in dataclasses.fields(VOCSegmentationSettings)}
    assert OTHER.keys() | ELSEWHERE.keys() == fields


@pytest.mark.parametrize("name", OTHER)
def test_hash_changes_with_what_changes_the_result(name):
    one = VOCSegmentationSettings(**TOGETHER)
    other = VOCSegmentationSettings(**{**TOGETHER, name: OTHER[name]})
    assert getattr(one, name) != getattr(other, name)
    assert one.hash() != other.hash()


@pytest.mark.parametrize("name", ELSEWHERE)
def test_hash_ignores_places_whose_content_has_its_own_digest(name):
    base = {**TOGETHER, "classifier": "x", "weights": "theta_0"}
    other = VOCSegmentationSettings(**{**base, name: ELSEWHERE[name]})
    assert VOCSegmentationSettings(**base).hash() == other.hash()


@pytest.mark.parametrize("settings", [VOCSegmentationSettings(), voc(**GIVEN), new(**GIVEN)])
def test_settings_come_back_from_a_result(settings):
    again = VOCSegmentationSettings.from_mapping(settings.as_dict())
    assert (again, again.hash()) == (settings, settings.hash())
