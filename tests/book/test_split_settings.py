"""What the chapters on a split share: which images, and what is refused in words."""

import dataclasses

import pytest
from small_voc import IDS, make_voc

from ribnb.book.split_settings import ScoredSettings, SplitSettings
from ribnb.core.settings import SettingsError
from ribnb.data.scenes.images import SceneImages

OTHER = {
    "dataset": "voc",
    "split": "val",
    "num_images": 101,
    "labels_from": "masks",
    "shard": "1/2",
    "seed": 4,
    "precision": "bfloat16",
}
ELSEWHERE = {"data_root": "data", "device": "cpu", "workers": 2, "output_dir": "runs/1"}


def settings(**values) -> SplitSettings:
    return SplitSettings(**{"data_root": "there", **values})


# The images -------------------------------------------------------------------------------


@pytest.mark.parametrize(("split", "drawn"), [("train", "train"), ("val", "val")])
def test_scenes_without_a_folder_are_drawn(split, drawn):
    images = SplitSettings(split=split, num_images=5, seed=4).images()
    assert images.ids == SceneImages(5, seed=4, split=drawn).ids


def test_train_aug_of_drawn_scenes_begins_with_train_as_it_does_on_disk():
    images = SplitSettings(split="train_aug", num_images=5).images()
    assert images.ids == SplitSettings(num_images=5).images().ids


def test_all_drawn_scenes_are_as_many_as_the_nets_of_the_package_learned():
    assert len(SplitSettings(num_images=0).images()) == 3000


@pytest.mark.parametrize("dataset", ["scenes", "voc"])
@pytest.mark.parametrize(
    ("count", "places"), [(0, [0, 1, 2]), (1, [0]), (2, [0, 1]), (9, [0, 1, 2])]
)
def test_a_folder_gives_its_own_images(tmp_path, dataset, count, places):
    make_voc(tmp_path)
    images = SplitSettings(dataset=dataset, data_root=str(tmp_path), num_images=count).images()
    assert images.ids == [IDS[place] for place in places]
    assert images.labels.shape == (len(places), 20)


def test_a_list_is_found_by_its_path(tmp_path):
    make_voc(tmp_path)
    (tmp_path / "mine.txt").write_text(f"{IDS[2]}\n")
    assert settings(data_root=str(tmp_path), split=str(tmp_path / "mine.txt")).images().ids == [
        IDS[2]
    ]


def test_labels_come_from_where_they_are_told(tmp_path):
    """The masks of that folder all show the same classes, its annotations do not."""
    make_voc(tmp_path)
    labels = {
        source: settings(data_root=str(tmp_path), labels_from=source, num_images=0).images().labels
        for source in ("annotations", "masks")
    }
    assert labels["annotations"].sum(dim=1).tolist() == [1, 2, 0]
    assert labels["masks"].sum(dim=1).tolist() == [3, 3, 3]


@pytest.mark.parametrize(("shard", "part"), [("0/1", (0, 1)), ("2/3", (2, 3)), ("11/12", (11, 12))])
def test_a_shard_is_read_as_two_numbers(shard, part):
    assert SplitSettings(shard=shard).part == part


# What is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dataset": "coco"}, "dataset = 'coco' is not allowed; it must be one of 'scenes', 'voc'"),
        ({"dataset": None}, "dataset = None is of type NoneType"),
        ({"num_images": -1}, "num_images = -1 is not allowed; it must be at least 0"),
        ({"num_images": 2.0}, r"num_images = 2\.0 is of type float"),
        ({"labels_from": "names"}, "labels_from = 'names' is not allowed"),
        ({"seed": -1}, "seed = -1 is not allowed"),
        ({"precision": "float16"}, "precision = 'float16' is not allowed"),
        ({"workers": -1}, "workers = -1 is not allowed"),
        (
            {"dataset": "voc", "data_root": ""},
            r"needs a data_root.*python data_scripts/get_voc\.py",
        ),
        ({"shard": 0}, "shard = 0 is of type int; it must be str"),
        *(
            ({"shard": shard}, f"shard = '{shard}': it must be i/n with 0 <= i < n, such as 0/4")
            for shard in ("", "1", "1/1", "2/2", "-1/2", "0/0", "a/b", "0/2/3", "0.0/1")
        ),
    ],
)
def test_refuses_a_wrong_value_in_words(values, message):
    with pytest.raises(SettingsError, match=message):
        settings(**values)


def test_an_unknown_split_of_drawn_scenes_is_refused_with_those_there_are():
    with pytest.raises(SettingsError, match=r"'trainval': scenes .* splits train_aug, train, val"):
        SplitSettings(split="trainval").images()


def test_an_unknown_split_of_a_folder_is_refused_with_those_there_are(tmp_path):
    make_voc(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no split 'val': .* holds train, and"):
        settings(data_root=str(tmp_path), split="val").images()


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no folder in VOC 2012's layout"):
        settings(data_root=str(tmp_path)).images()


@pytest.mark.parametrize("score_on", ["", "two"])
def test_only_the_images_of_the_list_are_scored(tmp_path, score_on):
    folder = make_voc(tmp_path)
    lists = folder / "ImageSets" / "Segmentation"
    ids = (lists / "train.txt").read_text().split()
    (lists / "two.txt").write_text("\n".join(["elsewhere", ids[2], ids[0]]))
    (folder / "JPEGImages" / "elsewhere.jpg").touch()
    scored = ScoredSettings(data_root=str(tmp_path), score_on=score_on)
    found = scored.scored_ids(scored.images())
    assert found == ([ids[0], ids[2]] if score_on else ids)


def test_a_list_without_any_of_the_images_is_refused():
    scored = ScoredSettings(num_images=5, score_on="val")
    with pytest.raises(SettingsError, match=r"score_on = 'val': none of the 5 images of train"):
        scored.scored_ids(scored.images())


# Hash -------------------------------------------------------------------------------------


def test_every_setting_is_covered_here():
    assert OTHER.keys() | ELSEWHERE.keys() == {
        one.name for one in dataclasses.fields(SplitSettings)
    }


@pytest.mark.parametrize("name", OTHER)
def test_hash_changes_with_what_changes_the_result(name):
    assert settings(**{name: OTHER[name]}).hash() != settings().hash()


@pytest.mark.parametrize("name", ELSEWHERE)
def test_hash_ignores_where_it_runs_and_writes(name):
    assert settings(**{name: ELSEWHERE[name]}).hash() == settings().hash()
