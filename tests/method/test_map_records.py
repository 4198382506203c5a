"""Which maps a folder holds: of these images or of others, made so or otherwise."""

import json

import pytest
from small_split import LABELS, Noise

from ribnb.method.map_records import RECORD, images_digest, maps_digest


def maps_of(run, images, **how):
    """A folder of maps, with what a run of the chapter writes beside it."""
    (run / "maps").mkdir(parents=True)
    record = {"settings": {"iterations": 10}, "images": images_digest(images), **how}
    (run / RECORD).write_text(json.dumps(record))
    return run / "maps"


def test_the_digest_of_images_changes_with_ids_and_labels():
    same, other = Noise(), Noise()
    other.ids = [*other.ids[1:], other.ids[0]]
    relabelled = Noise([[1, 1, 0], *LABELS[1:]])
    digests = [images_digest(images) for images in (Noise(), same, other, relabelled)]
    assert digests[0] == digests[1]
    assert len(set(digests[1:])) == 3
    assert all(len(digest) == 12 for digest in digests)


def test_maps_made_otherwise_have_another_digest_and_a_moved_folder_the_same(tmp_path):
    images = Noise()
    digests = [
        maps_digest(maps_of(tmp_path / "one", images), images),
        maps_digest(str(maps_of(tmp_path / "moved", images)), images),
        maps_digest(maps_of(tmp_path / "other", images, settings={"iterations": 0}), images),
    ]
    assert digests[0] == digests[1] != digests[2]
    assert len(digests[0]) == 12


def test_maps_of_other_images_or_labels_are_refused(tmp_path):
    folder = maps_of(tmp_path, Noise())
    for images in (Noise(LABELS[:4]), Noise([[1, 1, 0], *LABELS[1:]])):
        with pytest.raises(ValueError, match=rf"maps of other images than the {len(images)} here"):
            maps_digest(folder, images)


def test_it_is_the_record_that_a_run_writes(tmp_path):
    """Made by the code that writes maps, not by this test."""
    from small_split import few_steps, net

    from ribnb.method.localization import localization_maps

    images = Noise(LABELS[:2])
    localization_maps(net(), images, few_steps(iterations=0), tmp_path)
    assert maps_digest(tmp_path / "maps", images)
    with pytest.raises(ValueError, match="maps of other images"):
        maps_digest(tmp_path / "maps", Noise(LABELS[:3]))


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"no folder of maps {tmp_path / 'maps'}"):
        maps_digest(tmp_path / "maps", Noise())
    (tmp_path / "maps").mkdir()
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path / RECORD} is missing"):
        maps_digest(tmp_path / "maps", Noise())


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "3"])
def test_a_damaged_record_is_named(tmp_path, content):
    folder = maps_of(tmp_path, Noise())
    (tmp_path / RECORD).write_text(content)
    with pytest.raises(ValueError, match=rf"{RECORD} cannot be read .*; make its maps again"):
        maps_digest(folder, Noise())
