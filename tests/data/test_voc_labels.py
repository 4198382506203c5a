"""Labels of VOC's images: from annotations, from labels.npz, from masks, all the same."""

import numpy as np
import pytest
import torch
from small_voc import (
    IDS,
    MASK,
    OBJECT,
    SAMPLE,
    make_voc,
    write_annotation,
    write_list,
    write_mask,
)

from ribnb.data.scenes.layout import write_scenes
from ribnb.data.voc import CLASS_NAMES, VOCImages, image_labels
from ribnb.data.voc_labels import read_labels, write_labels


@pytest.fixture
def voc(tmp_path):
    return make_voc(tmp_path)


def lit(labels: torch.Tensor) -> list[list[str]]:
    return [[CLASS_NAMES[place] for place in row.nonzero().flatten()] for row in labels]


# From annotations -------------------------------------------------------------------------


def test_labels_hold_every_object_also_difficult_ones_but_no_parts(voc):
    labels = VOCImages(voc, "train").labels
    assert labels.dtype == torch.uint8
    assert labels.shape == (3, 20)
    assert lit(labels) == [["aeroplane"], ["person", "tvmonitor"], []]
    assert labels.max() == 1


def test_labels_stand_in_the_order_of_the_ids(voc):
    assert lit(image_labels(voc, [IDS[1], IDS[0]])) == [["person", "tvmonitor"], ["aeroplane"]]


def test_class_names_come_from_the_folder_if_it_has_some(voc):
    assert VOCImages(voc, "train").class_names == CLASS_NAMES
    (voc / "classes.txt").write_text("tvmonitor\naeroplane\n\nperson\n")
    found = VOCImages(voc, "train")
    assert found.class_names == ("tvmonitor", "aeroplane", "person")
    assert found.labels.tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize("text", ["", "cat\ndog\ncat\n"])
def test_refuses_class_names_that_are_none_or_alike(voc, text):
    (voc / "classes.txt").write_text(text)
    with pytest.raises(ValueError, match=r"classes\.txt must hold 1 to 254 different class names"):
        VOCImages(voc, "train")


def test_an_annotation_that_is_missing_broken_or_unknown_is_named(voc):
    images = VOCImages(voc, "train")
    path = voc / "Annotations" / f"{IDS[2]}.xml"
    path.unlink()
    with pytest.raises(FileNotFoundError, match=rf"{IDS[2]} has no annotation.*{IDS[2]}\.xml"):
        _ = images.labels
    path.write_text("<annotation><object>")
    with pytest.raises(ValueError, match=rf"of image {IDS[2]} cannot be read: .*{IDS[2]}\.xml"):
        _ = images.labels
    write_annotation(voc, IDS[2], OBJECT.format("unicorn", 0, ""))
    with pytest.raises(ValueError, match=rf"of image {IDS[2]} names an unknown class 'unicorn'"):
        _ = images.labels


def test_missing_annotations_point_to_the_masks(voc):
    (voc / "Annotations" / f"{IDS[0]}.xml").unlink()
    with pytest.raises(FileNotFoundError, match=r'labels_from="masks"'):
        _ = VOCImages(voc, "train").labels
    assert VOCImages(voc, "train", labels_from="masks").labels.shape == (3, 20)


# From labels.npz --------------------------------------------------------------------------


def keep(voc, ids, labels, class_names=CLASS_NAMES):
    write_labels(voc / "labels.npz", ids, torch.tensor(labels, dtype=torch.uint8), class_names)


def one_of(*places) -> list[int]:
    return [int(place in places) for place in range(20)]


def test_stored_labels_come_back_as_they_were(voc):
    keep(voc, IDS, [one_of(0), one_of(3, 19), one_of()])
    ids, labels, class_names = read_labels(voc / "labels.npz")
    assert (ids, class_names) == (IDS, CLASS_NAMES)
    assert labels.dtype == torch.uint8
    assert labels.tolist() == [one_of(0), one_of(3, 19), one_of()]


def test_stored_labels_are_taken_by_id_and_no_annotation_is_read(voc):
    for path in (voc / "Annotations").iterdir():
        path.unlink()
    keep(voc, ["2009_000001", *reversed(IDS)], [one_of(5), one_of(2), one_of(1), one_of(0)])
    labels = VOCImages(voc, "train").labels
    assert labels.tolist() == [one_of(0), one_of(1), one_of(2)]
    assert labels.dtype == torch.uint8


def test_without_all_of_the_images_they_are_not_used(voc):
    keep(voc, IDS[:2], [one_of(5), one_of(6)])
    assert lit(VOCImages(voc, "train").labels) == [["aeroplane"], ["person", "tvmonitor"], []]


def test_a_file_written_by_numpy_alone_is_read(voc):
    labels = np.array([one_of(4)] * 3, np.uint8)
    np.savez(voc / "labels.npz", ids=IDS, labels=labels, class_names=CLASS_NAMES)
    assert lit(VOCImages(voc, "train").labels) == [["bottle"]] * 3


def damaged(voc) -> list[tuple[str, bytes | dict]]:
    """A damage -> the bytes or the arrays of the file."""
    keep(voc, IDS, [one_of(0)] * 3)
    whole = (voc / "labels.npz").read_bytes()
    arrays = dict(np.load(voc / "labels.npz"))
    flipped = bytearray(whole)
    flipped[60] ^= 255
    return [
        ("", whole[: len(whole) // 2]),
        ("", b""),
        ("", bytes(flipped)),
        ("class_names", {"ids": arrays["ids"], "labels": arrays["labels"]}),
        (r"\(2, 20\)", {**arrays, "labels": arrays["labels"][:2]}),
        ("0 or 1", {**arrays, "labels": arrays["labels"] * 2}),
        ("0 or 1; they are float32", {**arrays, "labels": arrays["labels"].astype(np.float32)}),
        ("must be text", {**arrays, "ids": np.arange(3)}),
        ("id a is there twice", {**arrays, "ids": np.array(["a", "b", "a"])}),
        ("allow_pickle", {**arrays, "ids": np.array(IDS, dtype=object)}),
    ]


@pytest.mark.parametrize("case", range(10))
def test_a_damaged_file_is_named_and_what_to_do(voc, case):
    words, content = damaged(voc)[case]
    path = voc / "labels.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.savez(path, **content)
    message = rf"labels\.npz is not a whole file of labels \(.*{words}.*\); delete it"
    with pytest.raises(ValueError, match=message):
        _ = VOCImages(voc, "train").labels


def test_labels_of_other_classes_are_refused(voc):
    keep(voc, IDS, [[1, 0]] * 3, ("cat", "dog"))
    message = r"labels\.npz has labels of other classes: cat, dog; those of the folder are aero"
    with pytest.raises(ValueError, match=message):
        _ = VOCImages(voc, "train").labels
    (voc / "classes.txt").write_text("cat\ndog\n")
    assert VOCImages(voc, "train").labels.tolist() == [[1, 0]] * 3


def test_what_does_not_fit_is_not_written(voc):
    with pytest.raises(ValueError, match=r"cannot be kept in .*labels\.npz: labels must be"):
        keep(voc, IDS, [one_of(0)] * 2)
    assert not (voc / "labels.npz").exists()


# From masks -------------------------------------------------------------------------------


def test_labels_from_masks_are_the_classes_that_have_a_pixel(voc):
    write_mask(voc, IDS[1], np.full_like(MASK, 255))
    write_mask(voc, IDS[2], np.zeros_like(MASK))
    labels = VOCImages(voc, "train", labels_from="masks").labels
    assert labels.dtype == torch.uint8
    assert lit(labels) == [["aeroplane", "person", "tvmonitor"], [], []]


def test_a_mask_that_is_missing_is_named(voc):
    (voc / "SegmentationClass" / f"{IDS[1]}.png").unlink()
    with pytest.raises(FileNotFoundError, match=f"image {IDS[1]} has no mask"):
        _ = VOCImages(voc, "train", labels_from="masks").labels


@pytest.mark.parametrize("source", ["mask", "", None])
def test_another_source_is_refused_with_those_that_there_are(voc, source):
    with pytest.raises(ValueError, match=r"labels_from = .*must be 'annotations' or 'masks'"):
        VOCImages(voc, "train", labels_from=source)


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="no ../shared/data/voc_sample beside this")
def test_real_images_without_annotations_have_labels_from_their_masks():
    labels = VOCImages(SAMPLE, "val", labels_from="masks").labels
    assert lit(labels) == [["bottle", "person"], ["chair", "person", "sofa"], ["bus", "car"]]
    with pytest.raises(FileNotFoundError, match=r'labels_from="masks"'):
        _ = VOCImages(SAMPLE, "val").labels


# All three --------------------------------------------------------------------------------


def test_the_three_sources_agree_on_scenes(tmp_path):
    write_scenes(tmp_path, 20, 64, seed=5)
    for split in ("train_aug", "val"):
        annotated = VOCImages(tmp_path, split)
        assert annotated.labels.any(dim=1).all()
        assert annotated.labels.shape == (len(annotated), 6)
        masks = VOCImages(tmp_path, split, labels_from="masks")
        assert torch.equal(masks.labels, annotated.labels)
    everything = VOCImages(tmp_path, "train_aug").ids + VOCImages(tmp_path, "val").ids
    write_list(tmp_path, "all", "\n".join(everything))
    images = VOCImages(tmp_path, "all")
    write_labels(tmp_path / "labels.npz", images.ids, images.labels, images.class_names)
    for path in (tmp_path / "Annotations").iterdir():
        path.unlink()
    stored = VOCImages(tmp_path, "val").labels
    assert torch.equal(stored, VOCImages(tmp_path, "val", labels_from="masks").labels)
