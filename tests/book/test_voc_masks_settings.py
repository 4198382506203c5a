"""Settings of the chapter on masks: two kinds of maps with a preset each, nothing ignored."""

import dataclasses

import pytest
import torch

from ribnb.book.voc_masks_settings import KINDS, OF_RIB, SHARED, VOCMasksSettings
from ribnb.book.voc_settings import IMAGENET, VOCRIBSettings
from ribnb.core.files import weights_digest
from ribnb.core.settings import SettingsError
from ribnb.masks.crf_settings import CRFSettings
from ribnb.masks.irn_settings import IRNSettings
from ribnb.nets.models import CAMNet
from ribnb.nets.scene_nets import CHECKPOINTS

VOC = {"dataset": "voc", "data_root": "data", "rib": "run"}
NETS = {"irn_cam": "one", "irn_rib": "two"}
# Odd values, which no preset has.
WALK = {
    "walk_background": 0.31,
    "power": 2.1,
    "walk_radius": 3.5,
    "beta": 5.5,
    "walk_exponent": 1,
}
TRAINING = {
    "foreground_threshold": 0.41,
    "background_threshold": 0.11,
    "radius": 4.5,
    "crop_size": 61,
    "batch_size": 5,
    "epochs": 13,
    "learning_rate": 0.031,
    "displacement_factor": 3.3,
    "momentum": 0.53,
    "weight_decay": 1.1e-3,
    "poly_power": 0.55,
    "scale_min": 0.71,
    "scale_max": 1.21,
    "flip": False,
}
GIVEN = WALK | TRAINING


def voc(**values) -> VOCMasksSettings:
    return VOCMasksSettings(**{**VOC, **values})


def new(**values) -> VOCMasksSettings:
    """Of scenes, with IRN to be trained."""
    return VOCMasksSettings(retrain=True, **values)


# Presets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_is_not_given_is_the_presets_of_each_kind(precision):
    shared = {"seed": 5, "precision": precision}
    scenes, large = VOCMasksSettings(**shared), voc(**shared)
    assert scenes.irn("rib") == IRNSettings.scenes("rib", **shared)
    assert scenes.irn("cam") == IRNSettings.scenes("baseline", **shared)
    assert large.irn("rib") == IRNSettings.rib(**shared)
    assert large.irn("cam") == IRNSettings.baseline(**shared)


def test_the_trunk_is_the_data_sets():
    found = [(one.arch, one.weights) for one in (VOCMasksSettings(), voc())]
    assert found == [("scenes", "theta_0"), ("resnet50", IMAGENET)]


@pytest.mark.parametrize("given", [{}, VOC])
def test_no_field_is_left_open(given):
    assert None not in VOCMasksSettings(**given).as_dict().values()


@pytest.mark.parametrize("settings", [voc(**GIVEN), new(**GIVEN)])
def test_given_values_win(settings):
    assert GIVEN.keys() | {*SHARED} == {one.name for one in dataclasses.fields(IRNSettings)}
    found = settings.irn("rib").as_dict()
    assert {name: found[name] for name in GIVEN} == GIVEN


@pytest.mark.parametrize("settings", [voc(**GIVEN), new(**GIVEN)])
def test_what_is_ribs_alone_leaves_the_cams_as_they_are(settings):
    """All other parameters hold for both kinds."""
    plain = voc() if settings.dataset == "voc" else VOCMasksSettings()
    cam, before, rib = (one.as_dict() for one in (settings.irn("cam"), plain.irn("cam"),
                                                   settings.irn("rib")))  # fmt: skip
    assert len(OF_RIB) == 4
    for name in GIVEN:
        assert cam[name] == (before[name] if name in OF_RIB else rib[name])


def test_the_crf_is_that_of_the_data_set():
    assert VOCMasksSettings().crf_settings == CRFSettings.scenes()
    assert voc().crf_settings == CRFSettings()
    assert VOCMasksSettings(crf=False).crf_settings is None


@pytest.mark.parametrize("given", [{}, {"seed": 4, "precision": "bfloat16"}])
def test_maps_are_made_as_voc_rib_makes_them(given):
    assert VOCMasksSettings(**given).maps == VOCRIBSettings(**given).rib


# Trained nets -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_scenes_of_some_seeds_have_an_irn(kind):
    expected = CHECKPOINTS / f"scenes_4_irn_{kind}.safetensors"
    assert VOCMasksSettings(seed=4).trained_irn(kind) == expected


@pytest.mark.parametrize(
    "given",
    [
        {"retrain": True},
        {"classifier": "other"},
        {"seed": 7, "classifier": "other"},
        {"data_root": "elsewhere"},
        {"rib": "run"},
        {"weights": "other.pth"},
        VOC,
    ],
)
def test_irn_is_trained_where_none_was_for_this(given):
    settings = VOCMasksSettings(**given)
    assert [settings.trained_irn(kind) for kind in KINDS] == [None, None]


def test_a_net_that_is_named_is_taken():
    for settings in (voc(irn_rib="net"), new(irn_rib="net")):
        assert str(settings.trained_irn("rib")) == "net"
        assert settings.trained_irn("cam") is None
    beside = VOCMasksSettings(irn_cam="net")
    assert str(beside.trained_irn("cam")) == "net"
    assert beside.trained_irn("rib").parent == CHECKPOINTS


@pytest.mark.parametrize("named", [{}, {"irn_cam": "net"}, {"irn_rib": "net"}])
@pytest.mark.parametrize("name", TRAINING)
def test_a_parameter_of_a_training_that_does_not_happen_is_refused(name, named):
    value = TRAINING[name]
    message = f"trained otherwise: {name} is .* there, {value} here. With retrain = True"
    with pytest.raises(SettingsError, match=message):
        VOCMasksSettings(**named, **{name: value})
    assert getattr(new(**named, **{name: value}).irn("rib"), name) == value


@pytest.mark.parametrize("name", WALK)
def test_the_walk_of_a_trained_net_may_change(name):
    assert getattr(VOCMasksSettings(**{name: WALK[name]}).irn("rib"), name) == WALK[name]


def test_what_is_the_presets_may_be_given():
    given = {name: getattr(VOCMasksSettings(), name) for name in GIVEN}
    assert VOCMasksSettings(**given) == VOCMasksSettings()


def test_to_retrain_and_to_name_both_nets_is_refused():
    with pytest.raises(SettingsError, match="retrain = True with both irn_cam and irn_rib"):
        new(**NETS)
    assert VOCMasksSettings(**NETS).trained_irn("cam").name == "one"


# The trunk --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [3, 5])
def test_the_trunk_of_scenes_is_their_classifier(seed):
    settings = VOCMasksSettings(seed=seed)
    path = CHECKPOINTS / f"scenes_{seed}.safetensors"
    assert settings.classifier_path == path
    expected = CAMNet("scenes", 6, weights=path)
    assert weights_digest(settings.trunk(6)) == weights_digest(expected)


def test_a_classifier_that_is_named_is_the_trunk():
    path = CHECKPOINTS / "scenes_4.safetensors"
    named = VOCMasksSettings(seed=8, classifier=str(path))
    assert weights_digest(named.trunk(6)) == weights_digest(VOCMasksSettings(seed=4).trunk(6))


def test_weights_may_be_a_file(tmp_path):
    path = tmp_path / "backbone.pth"
    source = CAMNet("resnet18", 3)
    torch.save(source.backbone.state_dict(), path)
    net = voc(arch="resnet18", weights=str(path)).trunk(20)
    assert (net.arch, net.num_classes) == ("resnet18", 20)
    assert torch.equal(net.backbone.conv1.weight, source.backbone.conv1.weight)


def test_a_classifier_of_another_kind_is_refused():
    net = str(CHECKPOINTS / "scenes_3.safetensors")
    given = {"weights": "theta_0", "classifier": net}
    with pytest.raises(ValueError, match="another classifier: arch is 'scenes' there, 'resnet50'"):
        voc(**given).trunk(20)
    with pytest.raises(ValueError, match="num_classes is 6 there, 20 here"):
        VOCMasksSettings(classifier=net).trunk(20)
    with pytest.raises(FileNotFoundError, match="no classifier at nowhere"):
        VOCMasksSettings(classifier="nowhere").trunk(6)


# What is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dataset": "voc"}, r"dataset = 'voc' needs a data_root.*get_voc\.py"),
        (VOC | {"rib": ""}, r"rib = '' with dataset = 'voc': name the folder .* voc_rib"),
        ({"seed": 6}, r"classifier = '' .* seed = 6: .* voc_classifier .* seeds 3, 4, 5 have one"),
        ({"seed": 6, "rib": "run"}, "classifier = '' .* seed = 6"),
        (VOC | {"weights": "theta_0"}, "classifier = '' with dataset = 'voc'"),
        (VOC | {"classifier": "net"}, f"'net' would not be used: .* weights = '{IMAGENET}'"),
        ({"arch": "resnet18"}, r"'resnet18' with weights = 'theta_0': .* a 'scenes'\. Name"),
        ({"weights": IMAGENET}, "torchvision has none of 'scenes'"),
        (VOC | {"arch": "scenes"}, "torchvision has none of 'scenes'"),
        ({"arch": "vgg16"}, "arch = 'vgg16' is not allowed"),
        ({"dataset": "coco"}, "dataset = 'coco' is not allowed"),
        ({"crf": 1}, "crf = 1 is of type int; it must be bool"),
        ({"beta": "high"}, "beta = 'high' is of type str; it must be float or None"),
        ({"walk_exponent": 17}, "walk_exponent = 17 is not allowed; it must be at most 16"),
        (
            VOC | {"background_threshold": 0.9},
            r"background_threshold = 0\.9 must not be above foreground_threshold",
        ),
        (VOC | {"scale_min": 2, "scale_max": 1}, r"scale_min = 2\.0 must not be above scale_max"),
    ],
)
def test_refuses_what_cannot_work_before_anything_is_made(values, message):
    with pytest.raises(SettingsError, match=message):
        VOCMasksSettings(**values)


def test_no_classifier_is_asked_for_where_none_is_used():
    """Maps that are there, and a trunk of other weights."""
    assert VOCMasksSettings(seed=6, rib="run", weights="other.pth").classifier == ""


# Hash -------------------------------------------------------------------------------------

TOGETHER = {"retrain": True, "classifier": "x", "data_root": "data", "weights": "theta_0"}
OTHER = GIVEN | {
    "dataset": "voc",
    "split": "val",
    "num_images": 7,
    "labels_from": "masks",
    "score_on": "val",
    "crf": False,
    "arch": "resnet18",
    "retrain": False,
    "seed": 4,
    "precision": "bfloat16",
}
ELSEWHERE = {
    "data_root": "there",
    "rib": "run",
    "classifier": "y",
    "saliency": "grey",
    "weights": "other.pth",
    "irn_cam": "one",
    "irn_rib": "two",
    "device": "cpu",
    "workers": 2,
    "output_dir": "runs/1",
}


def test_every_setting_is_covered_here():
    fields = {one.name for one in dataclasses.fields(VOCMasksSettings)}
    assert OTHER.keys() | ELSEWHERE.keys() == fields


@pytest.mark.parametrize("name", OTHER)
def test_hash_changes_with_what_changes_the_result(name):
    base = VOC | TOGETHER if name == "dataset" else {**TOGETHER, "rib": "run"}
    one = VOCMasksSettings(**{**base, "dataset": "scenes"})
    other = VOCMasksSettings(**{**base, name: OTHER[name]})
    assert getattr(one, name) != getattr(other, name)
    assert one.hash() != other.hash()


@pytest.mark.parametrize("name", ELSEWHERE)
def test_hash_ignores_places_whose_content_has_its_own_digest(name):
    other = VOCMasksSettings(**{**TOGETHER, name: ELSEWHERE[name]})
    assert VOCMasksSettings(**TOGETHER).hash() == other.hash()


@pytest.mark.parametrize("settings", [VOCMasksSettings(), voc(**GIVEN), new(**GIVEN)])
def test_settings_come_back_from_a_result(settings):
    again = VOCMasksSettings.from_mapping(settings.as_dict())
    assert (again, again.hash()) == (settings, settings.hash())
