"""Maps of a whole split: the record refuses maps of another run."""

import json

import pytest
import torch
from localization_runs import (
    everything_in,
    no_bar,  # noqa: F401
    run,
)
from plain_adaptation import one_thread  # noqa: F401
from small_split import LABELS, Noise, few_steps, net

from ribnb.method.localization import weights_digest

# The record -------------------------------------------------------------------------------


def test_the_record_says_how_the_maps_were_made(tmp_path):
    settings = few_steps("paper", seed=4)
    run(tmp_path, settings=settings)
    record = json.loads((tmp_path / "maps.json").read_text())
    assert record["settings"] == settings.as_dict()
    assert record["settings_hash"] == settings.hash()
    assert record["weights"] == weights_digest(net())
    assert record["net"]["arch"] == "scenes"


def other_images(change):
    images = Noise()
    if change == "id":
        images.ids[-1] = "new"
    elif change == "label":
        images.labels[0, 1] = 1
    else:
        images.ids.reverse()
    return images


def moved(name):
    model = net()
    model.get_parameter(name).data.view(-1)[0] += 1e-6
    return model


def other_statistics():
    model = net()
    model.backbone.layer3[0].bn1.running_mean[0] += 1e-6
    return model


def resnet(output_stride):
    return net(arch="resnet18", output_stride=output_stride)


TINY = {"settings": few_steps(iterations=0, scales=(1,))}
RESNET = {**TINY, "model": resnet(16), "images": Noise([[1, 0, 0]])}
OTHERS = {
    "a setting": ({"settings": few_steps(threshold=0.3)}, "threshold is 0.4 there, 0.3 here"),
    "two settings": (
        {"settings": few_steps(seed=1, flip=False)},
        "flip is True there, False here; seed is 0 there, 1 here",
    ),
    "the other variant": ({"settings": few_steps("paper")}, ".*variant is 'released' there"),
    "a list": (
        {"settings": few_steps(scales=(1, 2))},
        r"scales is \[1.0, 0.5\] there, \[1.0, 2.0\] here",
    ),
    "weights": ({"model": net(seed=1)}, "the weights are others"),
    "one weight": ({"model": moved("class_layer.weight")}, "the weights are others"),
    "one frozen weight": ({"model": moved("backbone.conv1.weight")}, "the weights are others"),
    "statistics": ({"model": other_statistics()}, "the weights are others"),
    "an id": ({"images": other_images("id")}, "the images are others"),
    "a label": ({"images": other_images("label")}, "the images are others"),
    "the order": ({"images": other_images("order")}, "the images are others"),
    "more images": ({"images": Noise([*LABELS, [1, 0, 0]])}, "the images are others"),
    "all": (
        {"images": Noise(LABELS[:2]), "model": net(seed=1), "settings": few_steps(seed=1)},
        "seed is 0 there, 1 here; the weights are others; the images are others",
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_folder_of_another_run_is_refused_and_left_alone(tmp_path, case):
    run(tmp_path, shard=(0, 3))
    before = everything_in(tmp_path)
    changes, words = OTHERS[case]
    with pytest.raises(ValueError, match=f"{tmp_path} holds maps of another run \\({words}"):
        run(tmp_path, **changes)
    assert everything_in(tmp_path) == before


def test_the_output_stride_is_no_weight_and_yet_refused(tmp_path):
    run(tmp_path, **RESNET)
    with pytest.raises(ValueError, match="output_stride is 16 there, 8 here"):
        run(tmp_path, **{**RESNET, "model": resnet(8)})
    assert run(tmp_path, **RESNET).kept == 1


def test_other_frozen_stages_are_refused(tmp_path):
    run(tmp_path)
    model = net()
    model.frozen_stages = model.frozen_stages[:3]
    with pytest.raises(ValueError, match=r"frozen_stages is .*'layer2'\] there"):
        run(tmp_path, model=model)


def test_the_same_run_of_other_objects_is_not_refused(tmp_path):
    """600 and 600.0 are one margin; what was drawn in between does not count."""
    run(tmp_path, settings=few_steps(margin=600))
    torch.manual_seed(3)
    assert run(tmp_path, settings=few_steps(margin=600.0)).kept == 9


def test_maps_without_a_record_are_refused_and_left_alone(tmp_path):
    run(tmp_path)
    (tmp_path / "maps.json").unlink()
    before = everything_in(tmp_path)
    with pytest.raises(ValueError, match=r"maps holds maps, but .*maps\.json does not say how"):
        run(tmp_path)
    assert everything_in(tmp_path) == before


RECORD = {"settings": few_steps().as_dict(), "settings_hash": few_steps().hash()}
BROKEN = ["", "{", "[]", "3", "null", "{}", json.dumps(RECORD), '"' + "x" * 99, "\udcff\udcfe"]


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_record_is_named_and_left_alone(tmp_path, text):
    run(tmp_path)
    (tmp_path / "maps.json").write_bytes(text.encode(errors="surrogateescape"))
    before = everything_in(tmp_path)
    with pytest.raises(ValueError, match=rf"maps.json cannot be read \(.*\); move {tmp_path} away"):
        run(tmp_path)
    assert everything_in(tmp_path) == before


@pytest.mark.parametrize("value", [3, None, [], "text"])
@pytest.mark.parametrize("key", ["settings", "net"])
def test_a_record_of_other_things_is_named(tmp_path, key, value):
    run(tmp_path)
    record = json.loads((tmp_path / "maps.json").read_text())
    (tmp_path / "maps.json").write_text(json.dumps({**record, key: value}))
    with pytest.raises(ValueError, match=r"maps\.json cannot be read"):
        run(tmp_path)


def test_a_record_of_another_version_is_refused(tmp_path):
    run(tmp_path)
    record = json.loads((tmp_path / "maps.json").read_text())
    record["settings"]["gone"] = 3
    (tmp_path / "maps.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"another run \(its settings have other fields\)"):
        run(tmp_path)


def test_two_shards_may_begin_at_once(tmp_path, monkeypatch):
    """The other one writes its record, and maps, right after this one has looked for a record."""
    real, asked = type(tmp_path).exists, []

    def exists(path):
        there = real(path)
        if path.name == "maps.json" and not asked:
            asked.append(path)
            run(tmp_path, shard=(1, 2))
        return there

    monkeypatch.setattr(type(tmp_path), "exists", exists)
    assert len(run(tmp_path, shard=(0, 2)).written) == 5
    assert run(tmp_path).kept == 9
