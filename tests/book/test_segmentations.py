"""What the chapter on segmentation networks learns from, and which networks it takes."""

import numpy as np
import pytest
from plain_adaptation import one_thread  # noqa: F401
from segment_tools import same, small_net, write_masks
from small_results import in_groups

from ribnb.book import segmentations
from ribnb.book.segmentations import (
    IN_VIEW,
    SUPERVISION,
    TRUTH,
    VOCSegmentationSettings,
    masks_for,
    segmentation_net,
    with_masks,
)
from ribnb.core.files import weights_digest
from ribnb.core.settings import SettingsError
from ribnb.core.voc import read_mask
from ribnb.data.image_sets import Part
from ribnb.data.scenes.images import SceneImages
from ribnb.masks import scene_masks
from ribnb.masks.scene_masks import masks_path, network_path, pack_masks
from ribnb.nets.scene_nets import TRAINED
from ribnb.nets.weights import checkpoint_metadata

IMAGES = SceneImages(5, seed=3)
HISTORY = [1.5, 0.5]


def few(**changes) -> VOCSegmentationSettings:
    """A short training on five scenes."""
    small = {"num_images": 5, "steps": 4, "batch_size": 2, "crop_size": 48}
    return VOCSegmentationSettings(**in_groups("voc_segmentation", {**small, **changes}))


@pytest.fixture(autouse=True)
def no_bar(monkeypatch):
    monkeypatch.setenv("RIBNB_PROGRESS", "off")


@pytest.fixture(name="run")
def masks_run(tmp_path):
    """The folder of a run of voc_masks with two kinds of masks."""
    for kind in ("cam_irn", "rib_irn"):
        write_masks(tmp_path / "run" / "masks" / kind, IMAGES)
    return tmp_path / "run"


@pytest.fixture
def package(tmp_path, monkeypatch, run):
    """Masks and networks of seed 3 that come along: of three kinds, each another network."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    monkeypatch.setattr(scene_masks, "CHECKPOINTS", folder)
    pack_masks(masks_path(3), IMAGES.ids, {k: run / "masks" / k for k in ("cam_irn", "rib_irn")})
    record = {"class_names": list(IMAGES.class_names), "history": HISTORY, "seconds": 9.0}
    for seed, kind in enumerate(SUPERVISION):
        small_net(seed, 6).save(network_path(3, kind), record)
    return folder


# Masks ------------------------------------------------------------------------------------


def test_the_truth_needs_no_folder(tmp_path):
    for settings in (VOCSegmentationSettings(), few(masks="nowhere")):
        assert masks_for(settings, TRUTH, IMAGES, tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_masks_of_a_run_stay_where_they_are(run, tmp_path):
    found = masks_for(few(masks=str(run)), "rib_irn", IMAGES, tmp_path / "out")
    assert found == run / "masks" / "rib_irn"
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("package")
def test_the_packages_masks_are_laid_out_by_kind(tmp_path):
    part = Part(IMAGES, [0, 2])
    for kind in ("cam_irn", "rib_irn"):
        folder = masks_for(VOCSegmentationSettings(), kind, part, tmp_path / "out")
        assert folder == tmp_path / "out" / "masks" / kind
        assert len(list(folder.glob("*.png"))) == 2
        found = read_mask(folder / f"{part.ids[1]}.png")
        assert np.array_equal(found, IMAGES.mask(2))


def test_an_unknown_kind_of_a_run_is_named_with_those_there(run, tmp_path):
    (run / "masks" / "note.txt").touch()
    message = (
        r"supervision 'rib': there is no .*masks/rib\. .* has the kinds cam_irn, rib_irn, and truth"
    )
    with pytest.raises(FileNotFoundError, match=message):
        masks_for(few(masks=str(run)), "rib", IMAGES, tmp_path)


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path / 'no'} has the kinds none, and truth"):
        masks_for(few(masks=str(tmp_path / "no")), "rib_irn", IMAGES, tmp_path)


@pytest.mark.usefixtures("package")
def test_an_unknown_kind_of_the_package_is_named_with_those_there(tmp_path):
    with pytest.raises(ValueError, match=r"no masks 'rib' .* only cam_irn, rib_irn"):
        masks_for(few(), "rib", IMAGES, tmp_path)
    with pytest.raises(FileNotFoundError, match="no masks of scenes of the seed 4"):
        masks_for(few(seed=4), "rib_irn", IMAGES, tmp_path)


# Networks that come along -----------------------------------------------------------------


@pytest.mark.usefixtures("package")
def test_a_network_that_comes_along_is_loaded_without_images():
    for seed, kind in enumerate(SUPERVISION):
        found = segmentation_net(VOCSegmentationSettings(), kind)
        assert weights_digest(found.net) == weights_digest(small_net(seed, 6))
        assert (found.loaded, found.history, found.seconds) == (True, HISTORY, 9.0)
        assert not found.net.training


@pytest.mark.usefixtures("package")
def test_one_is_trained_in_view_and_the_others_are_loaded(tmp_path, monkeypatch, run):
    asked = []
    monkeypatch.setattr(segmentations, "train_segmentation", lambda *given: asked.append(given))
    settings = VOCSegmentationSettings()
    for kind in SUPERVISION:
        masks = None if kind == TRUTH else run / "masks" / kind
        found = segmentation_net(settings, kind, IMAGES, masks, tmp_path / "out")
        assert (found is None) == (kind == IN_VIEW)
    ((net, images, masks, recipe, folder, *_),) = asked
    assert same(net, settings.net(6))
    assert (images, masks, recipe) == (IMAGES, run / "masks" / IN_VIEW, settings.segment)
    assert folder == tmp_path / "out" / f"segmentation_{IN_VIEW}"


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        (VOCSegmentationSettings(seed=4), "rib_irn"),
        (VOCSegmentationSettings(), "by_hand"),
        (VOCSegmentationSettings(net={"retrain": True}, seed=4), TRUTH),
    ],
)
def test_no_network_and_no_images_to_train_one_on(settings, kind):
    message = f"no network of the seed {settings.seed} that learned from '{kind}' comes along"
    with pytest.raises(SettingsError, match=message):
        segmentation_net(settings, kind)


# Training ---------------------------------------------------------------------------------


def test_each_kind_has_a_training_of_its_own_which_is_loaded_the_next_time(run, tmp_path):
    settings, out = few(masks=str(run)), tmp_path / "out"
    for kind in ("rib_irn", TRUTH):
        masks = masks_for(settings, kind, IMAGES, out)
        first = segmentation_net(settings, kind, IMAGES, masks, out)
        again = segmentation_net(settings, kind, IMAGES, masks, out)
        assert (first.loaded, again.loaded) == (False, True)
        assert same(first.net, again.net)
        assert again.history == first.history
        assert not same(first.net, settings.net(6))
    found = {path.name: path / "segmentation.safetensors" for path in out.iterdir()}
    assert found.keys() == {"segmentation_rib_irn", "segmentation_truth"}
    identities = {name: checkpoint_metadata(path)["identity"] for name, path in found.items()}
    assert identities["segmentation_rib_irn"]["masks made by"] == "by hand"
    assert identities["segmentation_truth"]["masks made by"] == "the truth"
    assert {(one["steps"], one["seed"]) for one in identities.values()} == {(4, 3)}


def test_nothing_is_kept_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not segmentation_net(few(steps=1), TRUTH, IMAGES).loaded
    assert list(tmp_path.iterdir()) == []


def test_no_network_learns_from_other_masks_than_it_is_named_after(run, tmp_path):
    """Without masks it would learn from the truth."""
    with pytest.raises(
        ValueError, match=r"supervision 'rib_irn' with masks_dir = None: .* masks_for"
    ):
        segmentation_net(few(), "rib_irn", IMAGES, None, tmp_path)
    with pytest.raises(ValueError, match=r"supervision 'truth' with masks_dir = .*run"):
        segmentation_net(few(), TRUTH, IMAGES, run / "masks" / "rib_irn", tmp_path)


def test_images_without_a_mask_are_named(run, tmp_path):
    """Those of a longer list than the run's."""
    with pytest.raises(ValueError, match=r"1 of 6 images have no mask .*s3_train_000005"):
        segmentation_net(
            few(num_images=6), "rib_irn", SceneImages(6, seed=3), run / "masks/rib_irn", tmp_path
        )


# The package ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SUPERVISION)
@pytest.mark.parametrize("seed", TRAINED)
def test_the_package_has_networks_of_todays_settings(seed, kind):
    settings = VOCSegmentationSettings(seed=seed)
    path = network_path(seed, kind)
    if not path.is_file():
        pytest.skip(f"{path} is not there; data_scripts/train_scene_masks.py makes it")
    found = segmentation_net(settings, kind)
    assert (found.net.arch, found.net.num_classes) == ("scenes", 6)
    assert found.history
    identity = checkpoint_metadata(path)["identity"]
    recipe = {name: identity[name] for name in settings.segment.training()}
    assert recipe == settings.segment.training()


# Images without a mask --------------------------------------------------------------------


def masks_of(folder, ids):
    folder.mkdir()
    for name in ids:
        (folder / f"{name}.png").touch()
    return folder


def test_only_images_with_every_mask_are_learned_from(tmp_path):
    images = SceneImages(40, seed=3)
    folders = [
        masks_of(tmp_path / "one", images.ids[1:]),
        None,
        masks_of(tmp_path / "two", images.ids[:-1]),
    ]
    part, lacking = with_masks(images, folders)
    assert part.ids == images.ids[1:-1]
    assert lacking.keys() == {images.ids[0], images.ids[-1]}
    assert str(tmp_path / "one") in lacking[images.ids[0]]


def test_if_all_have_masks_the_images_stay_what_they_are(tmp_path):
    images = SceneImages(3, seed=3)
    assert with_masks(images, [None, masks_of(tmp_path / "one", images.ids)]) == (images, {})


def test_masks_of_other_images_are_refused(tmp_path):
    images = SceneImages(10, seed=3)
    folder = masks_of(tmp_path / "one", images.ids[:9])
    with pytest.raises(ValueError, match=r"1 of the 10 images have no mask.*another split"):
        with_masks(images, [folder])
