"""Three real images of VOC through every stage from maps to masks that needs no training."""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from plain_adaptation import one_thread  # noqa: F401
from scipy.ndimage import distance_transform_edt, gaussian_filter
from small_voc import SAMPLE, SAMPLE_IDS

from ribnb.core.devices import seeded
from ribnb.core.files import Maps, images_digest, read_maps, write_maps
from ribnb.core.runner import Report
from ribnb.core.voc import read_mask, write_mask
from ribnb.data.views import to_tensor
from ribnb.data.voc import VOCImages
from ribnb.masks import crf_masks, irn_masks, seed_masks
from ribnb.masks.crf import CRFSettings, crf_available
from ribnb.masks.export import export_irn
from ribnb.masks.irn import irn_labels
from ribnb.masks.irn_net import IRN, boundary_map
from ribnb.masks.irn_settings import IRNSettings
from ribnb.masks.saliency import saliency_masks, saliency_of
from ribnb.nets.cam_net import CAMNet
from ribnb.nets.deeplab import DeepLabV2
from ribnb.scores import mask_miou, score_masks
from ribnb.segmentation.prediction import segmentation_masks
from ribnb.segmentation.settings import SegmentationSettings

pytestmark = pytest.mark.skipif(
    not SAMPLE.is_dir(), reason="no ../shared/data/voc_sample beside this"
)
needs_crf = pytest.mark.skipif(
    not crf_available(), reason="no pydensecrf2 here: `pip install -e .[crf]` compiles it"
)
MADE = ["seeds", "labels", "irn", "saliency", "deeplab"]
REFINED = ["crf", "labels with crf", "deeplab_crf"]
FOR_TRAINING = "labels"  # these may leave pixels open
FEW = {"iterations": 2}  # of the CRF, for the sake of time


@dataclass
class Work:
    """The images, a folder to work in, and what the stages did when they were first called."""

    images: VOCImages
    root: Path
    irn: IRN
    deeplab: DeepLabV2
    first: dict[str, Report]

    def stages(self) -> dict[str, Report]:
        """Call every stage: name -> its report."""
        images, maps, out = self.images, self.root / "run" / "maps", self.root / "masks"
        irn, look = IRNSettings.rib(), saliency_of(images, self.root / "saliency")
        refine = CRFSettings(**FEW) if crf_available() else None
        calls = {
            "seeds": partial(seed_masks, images, maps, out / "seeds", 0.3),
            "labels": partial(irn_labels, images, maps, out / "labels", irn),
            "irn": partial(irn_masks, self.irn, images, maps, out / "irn", irn),
            "saliency": partial(saliency_masks, images, maps, look, out / "saliency"),
        }
        if refine:
            there = out / "labels_crf"
            calls["crf"] = partial(crf_masks, images, maps, out / "crf", 0.3, refine)
            calls["labels with crf"] = partial(irn_labels, images, maps, there, irn, refine)
        reports = {name: call() for name, call in calls.items()}
        how = SegmentationSettings.voc(test_scales=(0.5,), test_flip=False)
        dense = CRFSettings.deeplab(**FEW) if refine else None
        found = segmentation_masks(self.deeplab, images, out / "net", how, crf=dense)
        names = {"plain": "deeplab", "crf": "deeplab_crf"}
        return reports | {names[name]: report for name, report in found.items()}

    def masks(self, name: str) -> list[np.ndarray]:
        return [read_mask(self.first[name].folder / f"{one}.png", 20) for one in SAMPLE_IDS]

    def classes(self, index: int) -> set[int]:
        return set(np.flatnonzero(self.images.labels[index].numpy()) + 1)


def write_blurred_truth(images, folder) -> None:
    """Maps as coarse as those of a net, of the classes of each true mask."""
    (folder / "maps").mkdir(parents=True)
    for index, name in enumerate(images.ids):
        classes = np.flatnonzero(images.labels[index].numpy())
        truth = images.mask(index)
        maps = np.stack([gaussian_filter(1.0 * (truth == one + 1), 12) for one in classes])
        maps = (maps / maps.max(axis=(1, 2), keepdims=True)).astype(np.float32)
        write_maps(folder / "maps" / f"{name}.npz", Maps(classes, maps, maps[:, ::4, ::4]))
    record = {"images": images_digest(images), "settings": {"made": "by hand"}}
    (folder / "maps.json").write_text(json.dumps(record))


def write_saliency(images, folder) -> None:
    """Greys: white where the class with the most pixels is, black elsewhere."""
    folder.mkdir()
    for index, name in enumerate(images.ids):
        truth = images.mask(index)
        largest = max(
            np.unique(truth[(truth > 0) & (truth < 255)]), key=lambda c: (truth == c).sum()
        )
        Image.fromarray(np.where(truth == largest, 255, 0).astype(np.uint8)).save(
            folder / f"{name}.png"
        )


@pytest.fixture(scope="module")
def work(tmp_path_factory, one_thread):  # noqa: F811
    root = tmp_path_factory.mktemp("voc")
    images = VOCImages(SAMPLE, "val", labels_from="masks")
    write_blurred_truth(images, root / "run")
    write_saliency(images, root / "saliency")
    with seeded(0):
        irn = IRN(CAMNet("resnet18", 20)).eval()
        work = Work(images, root, irn, DeepLabV2("resnet18", 20).eval(), {})
    work.first = work.stages()
    return work


def stage(*names, refined=()):
    marked = [pytest.param(name, marks=needs_crf) for name in refined]
    return pytest.mark.parametrize("name", [*names, *marked])


@stage(*MADE, refined=REFINED)
def test_each_image_has_a_whole_mask_of_its_size_and_classes(work, name):
    report = work.first[name]
    assert (report.written, report.kept, report.failed) == (SAMPLE_IDS, 0, {})
    names = {f"{one}.png" for one in SAMPLE_IDS}
    assert {path.name for path in report.folder.iterdir()} == {*names, "masks.json"}
    for index, mask in enumerate(work.masks(name)):
        assert mask.shape == work.images.image(index).size[::-1]
        allowed = work.classes(index) | {0} | ({255} if name.startswith(FOR_TRAINING) else set())
        assert set(np.unique(mask)) <= (allowed if "deeplab" not in name else set(range(21)))


def test_a_second_call_does_nothing(work):
    times = {path: path.stat().st_mtime_ns for path in work.root.rglob("*.png")}
    again = work.stages()
    assert {name: (one.written, one.kept) for name, one in again.items()} == dict.fromkeys(
        work.first, ([], 3)
    )
    assert {path: path.stat().st_mtime_ns for path in work.root.rglob("*.png")} == times


@stage("seeds", "irn", "saliency", refined=["crf"])
def test_masks_of_blurred_truth_are_near_the_truth(work, name):
    """A mask that is shifted, mirrored or of another image would not be."""
    truths = [work.images.mask(index) for index in range(3)]
    alone = [
        mask_miou([mask], [truth], 20).miou
        for mask, truth in zip(work.masks(name), truths, strict=True)
    ]
    assert min(alone) > (20 if name == "saliency" else 50), alone


@stage("labels", refined=["labels with crf"])
def test_what_is_confident_is_right_nearly_everywhere(work, name):
    for index, labels in enumerate(work.masks(name)):
        truth = work.images.mask(index)
        sure = (labels != 255) & (truth != 255)
        assert sure.mean() > 0.4
        assert (labels == truth)[sure].mean() > 0.85


def test_saliency_decides_where_objects_end_and_maps_what_they_are(work):
    for index, mask in enumerate(work.masks("saliency")):
        salient = np.array(Image.open(work.root / "saliency" / f"{SAMPLE_IDS[index]}.png")) == 255
        assert np.array_equal(mask > 0, salient)
        found, counts = np.unique(mask[salient], return_counts=True)
        truth, true_counts = np.unique(work.images.mask(index)[salient], return_counts=True)
        assert found[counts.argmax()] == truth[true_counts.argmax()]


def test_boundaries_have_a_position_every_4_pixels_and_the_walk_changes_the_seed(work):
    for index in range(3):
        image = work.images.image(index)
        boundary = boundary_map(work.irn, image)
        assert boundary.shape == (-(-image.height // 4), -(-image.width // 4))
        assert 0 <= boundary.min() < boundary.max() <= 1
    masks = zip(work.masks("irn"), work.masks("seeds"), strict=True)
    for index, (walked, seed) in enumerate(masks):
        assert set(np.unique(walked)) & work.classes(index)
        assert 0.5 < (walked == seed).mean() < 1


def test_deeplab_has_a_position_every_8_pixels(work):
    image = work.images.image(0)
    with torch.no_grad():
        logits = work.deeplab(to_tensor(image)[None])
    assert logits.shape == (1, 21, -(-image.height // 8), -(-image.width // 8))


def test_all_masks_are_scored_side_by_side(work):
    rows = [name for name in work.first if not name.startswith(FOR_TRAINING)]
    folders = {name: work.first[name].folder for name in rows}
    perfect = work.root / "truth"
    perfect.mkdir()
    for index, name in enumerate(SAMPLE_IDS):
        truth = work.images.mask(index)
        _, nearest = distance_transform_edt(truth == 255, return_indices=True)
        write_mask(perfect / f"{name}.png", truth[tuple(nearest)])
    scores = score_masks(work.images, {"truth": perfect, **folders})
    assert scores.scored == tuple(SAMPLE_IDS) and not scores.failed
    metrics = scores.metrics()
    miou, outlines = metrics["mask_miou"], metrics["boundary_f"]
    assert set(miou) == {"truth", *rows}
    assert miou["truth"] == outlines["truth"] == 100  # rims and all
    assert 100 > miou["seeds"] > miou["deeplab"] and outlines["seeds"] < 100


def test_maps_and_masks_are_exported_for_irns_scripts(work):
    report = export_irn(work.root / "run" / "maps", work.root / "npy")
    assert report.written == SAMPLE_IDS
    for name in SAMPLE_IDS:
        found = np.load(work.root / "npy" / f"{name}.npy", allow_pickle=True).item()
        maps = read_maps(work.root / "run" / "maps" / f"{name}.npz")
        assert np.array_equal(found["keys"], maps.class_ids) and found["keys"].dtype == np.int64
        assert np.array_equal(found["high_res"], maps.high_res)
        assert torch.equal(found["cam"], torch.from_numpy(maps.strided))
    for one in ("labels", "irn"):
        export_irn(work.first[one].folder, work.root / f"grey_{one}")
        for name, mask in zip(SAMPLE_IDS, work.masks(one), strict=True):
            with Image.open(work.root / f"grey_{one}" / f"{name}.png") as image:
                assert image.mode == "L" and np.array_equal(np.array(image), mask)
    assert export_irn(work.root / "run" / "maps", work.root / "npy").kept == 3
