"""Three real images of VOC through every stage from maps to masks that needs no training."""

import json

import numpy as np
import pytest
from conftest import SAMPLE, SAMPLE_IDS
from PIL import Image
from scipy.ndimage import distance_transform_edt, gaussian_filter

from ribnb.core.devices import seeded
from ribnb.core.files import Maps, write_maps
from ribnb.core.voc import images_digest, read_mask, write_mask
from ribnb.data.voc import VOCImages
from ribnb.masks import crf_masks, irn_masks, seed_masks
from ribnb.masks.crf import CRFSettings, crf_available
from ribnb.masks.irn import IRNSettings, irn_labels
from ribnb.masks.irn_net import IRN
from ribnb.masks.saliency import saliency_masks, saliency_of
from ribnb.nets.cam_net import CAMNet
from ribnb.nets.deeplab import DeepLabV2
from ribnb.scores import mask_miou, score_masks
from ribnb.segmentation.prediction import segmentation_masks
from ribnb.segmentation.training import SegmentationSettings

pytestmark = pytest.mark.skipif(
    not SAMPLE.is_dir(), reason="no ../shared/data/voc_sample beside this"
)


@pytest.fixture(scope="module")
def images():
    return VOCImages(SAMPLE, "val", labels_from="masks")


@pytest.fixture(scope="module")
def reports(images, tmp_path_factory):
    """Stage -> its report. Maps are the blurred truth, as coarse as those of a net; saliency
    knows the class with the most pixels."""
    root = tmp_path_factory.mktemp("voc")
    maps_dir, saliency = root / "run" / "maps", root / "saliency"
    maps_dir.mkdir(parents=True)
    saliency.mkdir()
    for index, name in enumerate(images.ids):
        classes, truth = np.flatnonzero(images.labels[index].numpy()), images.mask(index)
        maps = np.stack([gaussian_filter(1.0 * (truth == one + 1), 12) for one in classes])
        maps = (maps / maps.max(axis=(1, 2), keepdims=True)).astype(np.float32)
        write_maps(maps_dir / f"{name}.npz", Maps(classes, maps, maps[:, ::4, ::4]))
        largest = max(classes + 1, key=lambda value: (truth == value).sum())
        grey = np.where(truth == largest, 255, 0).astype(np.uint8)
        Image.fromarray(grey).save(saliency / f"{name}.png")
    record = {"images": images_digest(images), "settings": {"made": "by hand"}}
    (root / "run" / "maps.json").write_text(json.dumps(record))
    with seeded(0):
        irn, deeplab = IRN(CAMNet("resnet18", 20)).eval(), DeepLabV2("resnet18", 20).eval()
    given, how = (images, maps_dir), IRNSettings.rib(walk_exponent=5)
    asked = SegmentationSettings.voc(test_scales=(0.5,), test_flip=False)
    made = {
        "seeds": seed_masks(*given, root / "seeds", 0.3),
        "labels": irn_labels(*given, root / "labels", how),
        "irn": irn_masks(irn, *given, root / "irn", how),
        "saliency": saliency_masks(*given, saliency_of(images, saliency), root / "salient"),
        "deeplab": segmentation_masks(deeplab, images, root / "net", asked)["plain"],
    }
    if crf_available():
        made["crf"] = crf_masks(*given, root / "crf", 0.3, CRFSettings(iterations=2))
    return made


def test_each_image_has_a_whole_mask_of_its_classes_near_its_truth(images, reports):
    """A mask that is shifted, mirrored or of another image would not be near."""
    for name, report in reports.items():
        assert (report.written, report.kept, report.failed) == (SAMPLE_IDS, 0, {})
        for index, image_id in enumerate(SAMPLE_IDS):
            mask = read_mask(report.folder / f"{image_id}.png", 20)
            assert mask.shape == images.image(index).size[::-1]
            own = {0, *(np.flatnonzero(images.labels[index].numpy()) + 1)}
            own |= {255} if name == "labels" else set(range(21)) if name == "deeplab" else set()
            assert set(np.unique(mask)) <= own
            if name in ("seeds", "irn", "saliency", "crf"):
                miou = mask_miou([mask], [images.mask(index)], 20).miou
                assert miou > (20 if name == "saliency" else 50), (name, image_id)


def test_all_masks_are_scored_side_by_side(images, reports, tmp_path):
    folders = {name: one.folder for name, one in reports.items() if name != "labels"}
    for index, name in enumerate(SAMPLE_IDS):
        truth = images.mask(index)
        _, nearest = distance_transform_edt(truth == 255, return_indices=True)
        write_mask(tmp_path / f"{name}.png", truth[tuple(nearest)])
    scores = score_masks(images, {"truth": tmp_path, **folders})
    assert scores.scored == tuple(SAMPLE_IDS) and not scores.failed
    metrics = scores.metrics()
    assert metrics["mask_miou"]["truth"] == 100  # rims and all
    assert 100 > metrics["mask_miou"]["seeds"] > metrics["mask_miou"]["deeplab"]
