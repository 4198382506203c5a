"""What the chapters on a whole split start from: nets, maps and masks that are named, made here or
come along.
"""

import json

import pytest
import torch
from small_masks import write_masks
from small_results import in_groups
from small_training import same

from ribnb.book import CHAPTERS
from ribnb.book.masks import (
    KINDS,
    SUPERVISION,
    TRUTH,
    VOCMasksSettings,
    VOCSegmentationSettings,
    irn_net,
    maps_of,
    masks_for,
    segmentation_net,
    with_masks,
)
from ribnb.book.scenes import TRAINED
from ribnb.book.splits import (
    VOCClassifierSettings,
    maps_at,
    mask_at,
    to_show,
    trained_classifier,
)
from ribnb.data.scenes.images import SceneImages
from ribnb.masks.irn import irn_labels
from ribnb.masks.stages import network_path
from ribnb.nets.weights import checkpoint_metadata

CPU = torch.device("cpu")
IMAGES = SceneImages(4, seed=3)
SMALL = {
    "voc_classifier": {"num_training": 40, "num_validation": 30, "epochs": 2, "batch_size": 8},
    "voc_masks": {"retrain": True, "epochs": 2, "batch_size": 2, "crop_size": 48},
    "voc_segmentation": {"num_images": 4, "steps": 4, "batch_size": 2, "crop_size": 48},
}


def few(chapter, **changes):
    """A chapter's settings with a short training."""
    return CHAPTERS[chapter].from_mapping(in_groups(chapter, {**SMALL[chapter], **changes}))


# theta_0 ----------------------------------------------------------------------------------


def test_a_classifier_is_trained_once_or_named(tmp_path):
    settings = few("voc_classifier")
    training = trained_classifier(settings, tmp_path, CPU)
    assert not training.loaded
    assert len(training.history) == len(training.validation_history) == 2
    assert not same(training.net, settings.first_net(6))
    again = trained_classifier(settings, tmp_path, CPU)
    assert again.loaded and same(again.net, training.net)
    with pytest.raises(ValueError, match=r"learning_rate is 0\.05 there, 0.01 here"):
        trained_classifier(few("voc_classifier", learning_rate=0.01), tmp_path, CPU)
    path = str(tmp_path / "classifier.safetensors")
    named = trained_classifier(few("voc_classifier", classifier=path), tmp_path / "other", CPU)
    assert named.loaded and same(named.net, training.net)
    assert named.mean_average_precision == training.mean_average_precision
    assert not (tmp_path / "other").exists()


def test_released_leaves_its_frozen_stages_as_they_were():
    """Which parameters the training may move; that it moves no others is the training's test."""
    net = {"arch": "resnet18", "weights": "random"}
    settings = VOCClassifierSettings(dataset="voc", data_root="data", variant="released", net=net)
    named = settings.first_net(6).named_parameters()
    moving = {name.split(".")[1] for name, weight in named if weight.requires_grad}
    assert moving == {"layer3", "layer4", "weight"}  # the last is the class layer's


# Maps, and an IRN for each kind -----------------------------------------------------------


@pytest.fixture(name="run", scope="module")
def run_folder(tmp_path_factory):
    """A folder with both kinds of maps, as a run of voc_rib leaves them, and confident labels."""
    folder = tmp_path_factory.mktemp("run")
    settings = few("voc_masks")
    maps = maps_of(settings, IMAGES, CPU, folder)
    for kind in KINDS:
        irn_labels(IMAGES, maps[kind], folder / f"labels_{kind}", settings.irn_for(kind))
    return folder


@pytest.fixture(name="trained", scope="module")
def trained_irn(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return irn_net(few("voc_masks"), "rib", IMAGES, run / "labels_rib", folder, CPU), folder


def test_maps_of_both_kinds_are_made_and_found_as_a_run(run):
    cam, rib = (maps_at(run / folder, IMAGES, 1) for folder in ("cam/maps", "maps"))
    assert cam.class_ids.tolist() == rib.class_ids.tolist()
    assert (rib.high_res != cam.high_res).any()
    records = [json.loads((run / one / "maps.json").read_text()) for one in ("cam", ".")]
    assert [one["settings"]["iterations"] for one in records] == [0, 10]
    times = {path: path.stat().st_mtime_ns for path in run.rglob("*.npz")}
    named = maps_of(few("voc_masks", maps_run=str(run)), IMAGES, CPU, "nowhere")
    assert named == maps_of(few("voc_masks"), IMAGES, CPU, run)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*.npz")} == times


@pytest.mark.parametrize("named", [{"saliency": "none"}, {"irn_rib": "none"}])
def test_what_a_later_step_needs_is_missed_before_maps_are_made(tmp_path, named):
    with pytest.raises(FileNotFoundError, match=r"there is no none, which data\.saliency or net"):
        maps_of(few("voc_masks", **named), IMAGES, CPU, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_irn_that_is_named_is_loaded_if_it_was_trained_as_the_settings_say(trained, tmp_path):
    """Else the result would name parameters that no net was trained with."""
    training, folder = trained

    def named(kind="rib", **changes):
        path = str(folder / "irn.safetensors")
        settings = few("voc_masks", **{f"irn_{kind}": path, **changes})
        return irn_net(settings, kind, IMAGES, "nowhere", tmp_path, CPU)

    assert not training.loaded
    for kind in KINDS:
        found = named(kind, walk_exponent=1, foreground_threshold=0.9, precision="bfloat16")
        assert found.loaded and not found.net.training
        assert same(found.net, training.net)
        assert (found.history, found.seconds) == (training.history, training.seconds)
    with pytest.raises(ValueError, match=r"trained otherwise: epochs is 2 there, 3 here\."):
        named(epochs=3)
    with pytest.raises(ValueError, match="trained on the stages of another net"):
        named(seed=4)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seed", TRAINED)
def test_the_package_has_irns_and_networks_of_todays_settings(seed, tmp_path):
    """One that was trained with other parameters is refused."""
    settings, images = VOCMasksSettings(seed=seed), SceneImages(1, seed=seed)
    for kind in KINDS:
        found = irn_net(settings, kind, images, "nowhere", tmp_path, CPU)
        assert found.loaded and len(found.history) == settings.irn.epochs
    settings = VOCSegmentationSettings(seed=seed)
    for kind in SUPERVISION:
        found = segmentation_net(settings, kind)
        assert (found.net.arch, found.net.num_classes) == ("scenes", 6)
        identity = checkpoint_metadata(network_path(seed, kind))["identity"]
        assert found.history and settings.segment.training().items() <= identity.items()


# Masks, and a network for each kind -------------------------------------------------------


@pytest.fixture(name="mask_run")
def masks_run(tmp_path):
    """The folder of a run of voc_masks with two kinds of masks."""
    for kind in ("cam_irn", "rib_irn"):
        write_masks(tmp_path / "run" / "masks" / kind, IMAGES)
    return tmp_path / "run"


def test_masks_are_those_of_the_run_that_is_named_or_of_the_package(mask_run, tmp_path):
    named, out = few("voc_segmentation", masks=str(mask_run)), tmp_path / "out"
    assert masks_for(named, TRUTH, IMAGES, out) is None
    assert masks_for(named, "rib_irn", IMAGES, out) == mask_run / "masks" / "rib_irn"
    assert not out.exists()
    folder = masks_for(VOCSegmentationSettings(), "cam_irn", IMAGES, out)
    assert folder == out / "masks" / "cam_irn"
    assert {path.stem for path in folder.glob("*.png")} == {*IMAGES.ids}
    assert (mask_at(None, IMAGES, 1) == IMAGES.mask(1)).all()
    (folder / f"{IMAGES.ids[0]}.png").unlink()
    assert to_show(IMAGES, 2, [folder, mask_run / "masks" / "rib_irn"]) == [1, 2]
    of_others = VOCSegmentationSettings(data_root="data")
    with pytest.raises(ValueError, match=r"have no mask .* in the package, .*masks=FOLDER"):
        masks_for(of_others, "rib_irn", SceneImages(2, seed=9), out)


def test_only_images_with_every_mask_are_learned_from(tmp_path):
    images, folders = SceneImages(40, seed=3), [tmp_path / "one", tmp_path / "two"]
    for folder, ids in zip(folders, (images.ids[1:], images.ids[:-1]), strict=True):
        folder.mkdir()
        for name in ids:
            (folder / f"{name}.png").touch()
    part, lacking = with_masks(images, [folders[0], None, folders[1]])
    assert part.ids == images.ids[1:-1]
    assert lacking.keys() == {images.ids[0], images.ids[-1]}
    assert str(folders[0]) in lacking[images.ids[0]]
    assert with_masks(part, folders) == (part, {})
    with pytest.raises(ValueError, match=r"10 of the 10 images have no mask"):
        with_masks(SceneImages(10, seed=4), folders)


def test_each_kind_has_a_training_of_its_own_which_is_loaded_the_next_time(mask_run, tmp_path):
    settings, out = few("voc_segmentation", masks=str(mask_run)), tmp_path / "out"
    made_by = {"rib_irn": "by hand", TRUTH: "the truth"}
    for kind, who in made_by.items():
        of_kind = masks_for(settings, kind, IMAGES, out)
        first = segmentation_net(settings, kind, IMAGES, of_kind, out)
        again = segmentation_net(settings, kind, IMAGES, of_kind, out)
        assert (first.loaded, again.loaded) == (False, True)
        assert same(first.net, again.net)
        path = out / f"segmentation_{kind}" / "segmentation.safetensors"
        assert checkpoint_metadata(path)["identity"]["masks made by"] == who
