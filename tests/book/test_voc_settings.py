"""Settings of the chapters on a split: a preset where nothing is given, and what is given wins."""

import dataclasses

import pytest
import torch

from ribnb.book.voc_settings import IMAGENET, SHARED, VOCClassifierSettings, VOCRIBSettings
from ribnb.core.settings import SettingsError
from ribnb.method.settings import RIBSettings
from ribnb.nets.classifier_settings import ClassifierSettings
from ribnb.nets.models import FROZEN_STAGES, STAGES, CAMNet
from ribnb.nets.scene_nets import CHECKPOINTS

BOTH = pytest.mark.parametrize("kind", [VOCClassifierSettings, VOCRIBSettings])
VOC = {"dataset": "voc", "data_root": "data"}


def rib(**values) -> VOCRIBSettings:
    return VOCRIBSettings(**{"classifier": "theta_0.safetensors", **values})


def voc(**values) -> VOCClassifierSettings:
    return VOCClassifierSettings(**{**VOC, **values})


# Presets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize("dataset", ["scenes", "voc"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_is_not_given_is_the_variants(variant, dataset, precision):
    chapter = rib(dataset=dataset, data_root="data", variant=variant, precision=precision, seed=5)
    presets = {
        "scenes": RIBSettings.scenes(variant, seed=5, precision=precision),
        "voc": getattr(RIBSettings, variant)(seed=5, precision=precision),
    }
    assert chapter.rib == presets[dataset]
    assert chapter.cam == dataclasses.replace(presets[dataset], iterations=0)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_is_not_given_is_the_recipes(precision):
    shared = {"seed": 5, "precision": precision, "validate_each_epoch": True}
    recipes = {
        VOCClassifierSettings(seed=5, precision=precision): ClassifierSettings.scenes(
            epochs=6, **shared
        ),
        voc(seed=5, precision=precision): ClassifierSettings(**shared),
        voc(seed=5, precision=precision, variant="released"): ClassifierSettings.released(**shared),
    }
    for chapter, recipe in recipes.items():
        assert chapter.recipe == recipe


def test_the_nets_and_numbers_of_images_are_the_data_sets():
    names = ("arch", "weights", "num_training", "num_validation")
    found = [[getattr(one, name) for name in names] for one in (VOCClassifierSettings(), voc())]
    assert found == [["scenes", "random", 1600, 200], ["resnet50", "IMAGENET1K_V1", 0, 0]]


@BOTH
@pytest.mark.parametrize("dataset", ["scenes", "voc"])
def test_no_field_is_left_open(kind, dataset):
    """But the two of the flood rule, for a variant without it, and what the net itself says."""
    given = {"dataset": dataset, "data_root": "data", "classifier": "x", "variant": "paper"}
    values = kind(**given).as_dict()
    allowed = {"flood_level", "flood_share", "moving_stages"} if kind is VOCRIBSettings else set()
    assert {name for name, value in values.items() if value is None} == allowed


# Given values -----------------------------------------------------------------------------

GIVEN_RIB = {
    "iterations": 3,
    "learning_rate": 1e-5,
    "class_layer_factor": 2.0,
    "power": 0.5,
    "momentum": 0.25,
    "weight_decay": 1e-4,
    "loss": "bce",
    "margin": 7.0,
    "pooling": "gap",
    "threshold": 0.2,
    "margin_rule": "cap",
    "last_map": True,
    "pooling_variant": "paper",
    "image_in_batch": True,
    "moving_stages": 1,
    "batch_size": 4,
    "batch_choice": "random",
    "crop_size": 100,
    "long_side_min": 90,
    "long_side_max": 110,
    "scales": (1.0, 0.75),
    "loss_scales": (0.75,),
    "flip": False,
    "flood_level": 0.5,
    "flood_share": 0.9,
    "normalize_maps": True,
}
GIVEN_CLASSIFIER = {
    "epochs": 2,
    "batch_size": 3,
    "learning_rate": 0.3,
    "class_layer_factor": 4.0,
    "momentum": 0.5,
    "nesterov": False,
    "weight_decay": 0.0,
    "warm_up_steps": 7,
    "power": 0.4,
    "running_statistics": True,
    "crop_size": 100,
    "long_side_min": 90,
    "long_side_max": 110,
    "flip": False,
    "validate_each_epoch": False,
}
METHODS = [
    (VOCRIBSettings, "rib", GIVEN_RIB),
    (VOCClassifierSettings, "recipe", GIVEN_CLASSIFIER),
]


@pytest.mark.parametrize(("kind", "method", "given"), METHODS)
def test_every_setting_of_the_method_is_covered_here(kind, method, given):
    fields = dataclasses.fields(getattr(kind(classifier=_net(3)), method))
    assert {one.name for one in fields} == {*given, *SHARED} - (
        {"variant"} if method == "recipe" else set()
    )


@pytest.mark.parametrize(("kind", "method", "given"), METHODS)
def test_given_values_win(kind, method, given):
    found = getattr(kind(classifier=_net(3), **given), method)
    assert {name: getattr(found, name) for name in given} == given


def test_zero_and_false_are_given_values():
    """None alone means the preset's."""
    assert rib(iterations=0, flip=False).rib.iterations == 0
    assert rib(flip=False).rib.flip is False
    assert voc(num_training=0, nesterov=False).recipe.nesterov is False


def test_a_list_as_papermill_gives_it_is_a_tuple():
    settings = rib(scales=[1, 0.5], loss_scales=[1])
    assert (settings.scales, settings.rib.scales) == ((1.0, 0.5), (1.0, 0.5))
    assert settings.hash() == rib(scales=(1.0, 0.5), loss_scales=(1.0,)).hash()


def test_the_flood_rule_is_switched_off_by_a_share_of_1():
    assert rib(flood_share=1).rib.flood_share == 1.0


# Hash -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        *((VOCRIBSettings, *item) for item in GIVEN_RIB.items()),
        *((VOCClassifierSettings, *item) for item in GIVEN_CLASSIFIER.items()),
        (VOCRIBSettings, "variant", "paper"),
        (VOCClassifierSettings, "variant", "released"),
        (VOCClassifierSettings, "arch", "resnet18"),
        (VOCClassifierSettings, "weights", "random"),
        (VOCClassifierSettings, "output_stride", 8),
        (VOCClassifierSettings, "training_split", "train"),
        (VOCClassifierSettings, "num_training", 7),
        (VOCClassifierSettings, "validation_split", "train"),
        (VOCClassifierSettings, "num_validation", 7),
    ],
)
def test_hash_changes_with_what_changes_the_result(kind, name, value):
    together = {  # what the values must go together with
        "scales": (1, 0.75, 2),
        "loss_scales": (1,),
        "long_side_min": 80,
        "long_side_max": 320,
        "momentum": 0.75,
        "nesterov": True,
    }
    fields = kind.__dataclass_fields__
    base = VOC | {"classifier": "x"} | {n: v for n, v in together.items() if n in fields}
    one, other = kind(**base), kind(**{**base, name: value})
    assert getattr(one, name) != getattr(other, name)
    assert (one.hash() != other.hash()) == (name != "validate_each_epoch")


@BOTH
def test_hash_ignores_the_nets_place(kind):
    """Its weights are told by their own digest."""
    assert kind(classifier="a", **VOC).hash() == kind(classifier="b", **VOC).hash()


def test_what_is_the_presets_may_be_given_without_another_hash():
    assert rib(iterations=10, margin=60).hash() == rib().hash()


def test_settings_come_back_from_a_result():
    """Which is how shards are merged."""
    for settings in (rib(**GIVEN_RIB), rib(variant="paper"), VOCClassifierSettings(), voc()):
        again = type(settings).from_mapping(settings.as_dict())
        assert (again, again.hash()) == (settings, settings.hash())


# What is refused --------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("dataset", ["scenes", "voc"])
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("variant", "scenes", "variant = 'scenes' is not allowed.*'paper', 'released'"),
        ("variant", 3, "variant = 3 is of type int; it must be str"),
        ("learning_rate", "big", "learning_rate = 'big' is of type str; it must be float or None"),
        ("batch_size", 0, "batch_size = 0 is not allowed; it must be at least 1"),
        ("flip", 1, "flip = 1 is of type int; it must be bool or None"),
        ("long_side_min", 700, "long_side_min = 700"),
        ("dataset", "coco", "dataset = 'coco' is not allowed"),
        ("shard", "2/2", "shard = '2/2': it must be i/n"),
    ],
)
def test_refuses_a_wrong_value_in_words(kind, dataset, name, value, message):
    given = {"dataset": dataset, "data_root": "data", "classifier": "x", name: value}
    if name == "long_side_min":
        given["long_side_max"] = 600
    with pytest.raises(SettingsError, match=message):
        kind(**given)


@BOTH
def test_voc_needs_a_folder(kind):
    with pytest.raises(SettingsError, match=r"dataset = 'voc' needs a data_root.*get_voc\.py"):
        kind(dataset="voc", classifier="x")


@pytest.mark.parametrize("given", [VOC, {"seed": 2}, {"seed": 6, "data_root": "data"}])
def test_rib_without_a_net_says_where_one_comes_from(given):
    with pytest.raises(SettingsError, match=r"classifier = ''.*voc_classifier.*seeds 3, 4, 5"):
        VOCRIBSettings(**given)


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_scenes_of_some_seeds_have_a_net(seed):
    path = VOCRIBSettings(seed=seed).classifier_path
    assert path == CHECKPOINTS / f"scenes_{seed}.safetensors"
    assert path.is_file()
    assert rib(seed=seed).classifier_path.name == "theta_0.safetensors"


def test_released_needs_weights_that_scenes_do_not_have():
    with pytest.raises(SettingsError, match=r"variant = 'released'.*'paper' with dataset"):
        VOCClassifierSettings(variant="released")


def test_the_small_net_has_no_weights_of_imagenet():
    with pytest.raises(SettingsError, match="torchvision has none of 'scenes'"):
        VOCClassifierSettings(weights=IMAGENET).net(6)


@pytest.mark.parametrize("arch", ["vgg16", "resnet152"])
def test_an_unknown_net_is_refused(arch):
    with pytest.raises(SettingsError, match=f"arch = '{arch}' is not allowed.*'resnet50'"):
        voc(arch=arch)


# The net ----------------------------------------------------------------------------------


def _net(seed) -> str:
    return str(CHECKPOINTS / f"scenes_{seed}.safetensors")


def test_training_starts_from_the_same_net_each_time_without_a_trace():
    settings = VOCClassifierSettings(seed=4)
    before = torch.get_rng_state()
    first, again, other = settings.net(6), settings.net(6), VOCClassifierSettings(seed=5).net(6)
    assert torch.equal(torch.get_rng_state(), before)
    weights = [one.class_layer.weight for one in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("stride", [8, 16])
def test_the_net_is_the_one_asked_for(stride):
    net = voc(arch="resnet18", weights="random", output_stride=stride).net(20)
    assert (net.arch, net.num_classes, net.output_stride) == ("resnet18", 20, stride)


def test_weights_may_be_a_file(tmp_path):
    path = tmp_path / "backbone.pth"
    source = CAMNet("resnet18", 3)
    torch.save(source.backbone.state_dict(), path)
    net = voc(arch="resnet18", weights=str(path)).net(20)
    assert torch.equal(net.backbone.conv1.weight, source.backbone.conv1.weight)


def test_released_freezes_conv1_to_layer2_and_nothing_else():
    moving = {"paper": STAGES, "released": ("layer3", "layer4")}
    for variant, stages in moving.items():
        net = voc(arch="resnet18", weights="random", variant=variant).net(20)
        for name, parameter in net.named_parameters():
            stage = name.split(".")[1]
            expected = name.startswith("class_layer") or stage in stages
            assert parameter.requires_grad == expected, (variant, name)
    assert not {*FROZEN_STAGES} & {"layer3", "layer4"}
