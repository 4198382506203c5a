"""Three real images of VOC through every stage from maps to masks that needs no training."""

import json

import numpy as np
import pytest
from conftest import SAMPLE, SAMPLE_IDS
from PIL import Image
from scipy.ndimage import distance_transform_edt, gaussian_filter

from ribnb.core.devices import seeded
from ribnb.core.files import Maps, images_digest, write_maps
from ribnb.core.voc import read_mask, write_mask
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
REFINED = ("crf", "labels with crf", "deeplab with crf")
FEW = {"iterations": 2}  # of the CRF, for the sake of time


def of(*names):
    """For each of these stages; those with a CRF where its library is there."""
    without = pytest.mark.skipif(not crf_available(), reason="no pydensecrf2 here")
    marked = [pytest.param(one, marks=without if one in REFINED else ()) for one in names]
    return pytest.mark.parametrize("name", marked)


@pytest.fixture(scope="module")
def images():
    return VOCImages(SAMPLE, "val", labels_from="masks")


@pytest.fixture(scope="module")
def net():
    with seeded(0):
        return IRN(CAMNet("resnet18", 20)).eval()


@pytest.fixture(scope="module")
def reports(images, net, tmp_path_factory):
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
    irn = IRNSettings.rib(walk_exponent=5)  # of the walk, too
    given, refine = (images, maps_dir), CRFSettings(**FEW)
    made = {
        "seeds": seed_masks(*given, root / "seeds", 0.3),
        "labels": irn_labels(*given, root / "labels", irn),
        "irn": irn_masks(net, *given, root / "irn", irn),
        "saliency": saliency_masks(*given, saliency_of(images, saliency), root / "salient"),
    }
    if crf_available():
        made["crf"] = crf_masks(*given, root / "crf", 0.3, refine)
        made["labels with crf"] = irn_labels(*given, root / "refined", irn, refine)
    how = SegmentationSettings.voc(test_scales=(0.5,), test_flip=False)
    dense = CRFSettings.deeplab(**FEW) if crf_available() else None
    with seeded(0):
        deeplab = DeepLabV2("resnet18", 20).eval()
    predicted = segmentation_masks(deeplab, images, root / "net", how, crf=dense)
    names = {"plain": "deeplab", "crf": "deeplab with crf"}
    return made | {names[name]: report for name, report in predicted.items()}


@pytest.fixture
def masks(reports):
    def read(name) -> list[np.ndarray]:
        return [read_mask(reports[name].folder / f"{one}.png", 20) for one in SAMPLE_IDS]

    return read


@of("seeds", "labels", "irn", "saliency", "deeplab", *REFINED)
def test_each_image_has_a_whole_mask_of_its_size_and_classes(images, reports, masks, name):
    report = reports[name]
    assert (report.written, report.kept, report.failed) == (SAMPLE_IDS, 0, {})
    files = {f"{one}.png" for one in SAMPLE_IDS}
    assert {path.name for path in report.folder.iterdir()} == {*files, "masks.json"}
    for index, mask in enumerate(masks(name)):
        assert mask.shape == images.image(index).size[::-1]
        own = {0, *(np.flatnonzero(images.labels[index].numpy()) + 1)}
        own |= {255} if "labels" in name else set(range(21)) if "deeplab" in name else set()
        assert set(np.unique(mask)) <= own


@of("seeds", "irn", "saliency", "crf")
def test_masks_of_blurred_truth_are_near_the_truth(images, masks, name):
    """A mask that is shifted, mirrored or of another image would not be."""
    alone = [
        mask_miou([mask], [images.mask(index)], 20).miou for index, mask in enumerate(masks(name))
    ]
    assert min(alone) > (20 if name == "saliency" else 50), alone


def test_all_masks_are_scored_side_by_side(images, reports, tmp_path):
    folders = {name: one.folder for name, one in reports.items() if "labels" not in name}
    for index, name in enumerate(SAMPLE_IDS):
        truth = images.mask(index)
        _, nearest = distance_transform_edt(truth == 255, return_indices=True)
        write_mask(tmp_path / f"{name}.png", truth[tuple(nearest)])
    scores = score_masks(images, {"truth": tmp_path, **folders})
    assert scores.scored == tuple(SAMPLE_IDS) and not scores.failed
    metrics = scores.metrics()
    miou, outlines = metrics["mask_miou"], metrics["boundary_f"]
    assert set(miou) == {"truth", *folders}
    assert miou["truth"] == outlines["truth"] == 100  # rims and all
    assert 100 > miou["seeds"] > miou["deeplab"] and outlines["seeds"] < 100
