"""A reader's own functions in settings: how they are named, their digest, and what is refused."""

import json
import pickle
import sys

import pytest

from ribnb.core.settings import SettingsError
from ribnb.method.pooling import POOLINGS
from ribnb.method.settings import RIBSettings

POWER = 2
MINE = """
POWER = {power}


def bent(x):
    return x {sign} POWER


def mine(class_maps, settings):
    return bent(class_maps).mean((2, 3))


def one(class_maps):
    return class_maps
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write ``my_pooling.py`` into the working folder, as if in a fresh process."""

    def write(power=2, sign="**"):
        text = MINE.format(power=power, sign=sign)
        # another length, so that no cache takes it for the old one
        (tmp_path / "my_pooling.py").write_text(text + "\n" * (power + len(sign)))
        sys.modules.pop("my_pooling", None)
        sys.path_importer_cache.clear()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr("ribnb.core.own._SEEN", {})
    write()
    return write


def test_a_function_is_a_text_that_prints_pickles_and_round_trips(module):
    settings = RIBSettings(pooling="my_pooling:mine")
    import my_pooling

    assert RIBSettings(pooling=my_pooling.mine) == settings
    assert settings.pooling.startswith("my_pooling:mine@") and settings.pooling in repr(settings)
    assert POOLINGS.of(settings.pooling) is my_pooling.mine
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert RIBSettings.from_mapping(json.loads(json.dumps(settings.as_dict()))) == settings
    assert settings.replace(iterations=3).pooling == settings.pooling


def test_the_digest_is_of_the_source_and_of_what_it_uses(module):
    texts = {}
    for given in ((2, "**"), (3, "**"), (2, "*"), (2, "**")):
        module(*given)
        texts.setdefault(given, []).append(RIBSettings(pooling="my_pooling:mine").pooling)
    assert len({text for each in texts.values() for text in each}) == 3
    assert len({*texts[2, "**"]}) == 1


def test_a_text_of_a_source_that_is_gone_is_read_and_not_used(module, monkeypatch):
    old = RIBSettings(pooling="my_pooling:mine")
    module(power=3)
    monkeypatch.setattr("ribnb.core.own._SEEN", {})  # another process
    assert RIBSettings.from_mapping(old.as_dict()) == old
    with pytest.raises(ValueError, match="the source of my_pooling:mine is not what it was"):
        POOLINGS.of(old.pooling)


def test_an_entry_point_is_named_as_it_is_called(module, tmp_path):
    (tmp_path / "mine-1.dist-info").mkdir()
    points = "[ribnb.poolings]\nflat = my_pooling:mine\ngone = my_pooling:gone\n"
    (tmp_path / "mine-1.dist-info" / "entry_points.txt").write_text(points)
    sys.path.append(str(tmp_path))
    assert RIBSettings(pooling="flat").pooling.startswith("flat@")
    with pytest.raises(SettingsError, match="'gone' cannot be had"):
        RIBSettings(pooling="gone")
    with pytest.raises(SettingsError, match=r"gndrp, gap, flat, gone, .* did you mean 'flat'\?"):
        RIBSettings(pooling="flatt")


def closed(power=None, values=()):
    def pooling(class_maps, settings):
        return (class_maps**power).mean((2, 3)) * values

    return pooling


def test_what_a_function_has_from_around_it_counts():
    texts = [RIBSettings(pooling=closed(power)).pooling for power in (1, 2, 2)]
    assert texts[0] != texts[1] == texts[2]
    with pytest.raises(SettingsError, match="uses values, a set, which its source does not tell"):
        RIBSettings(pooling=closed(2, {1, 2} and {object()}))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("gndr", r"'gndr' is none of the poolings gndrp, gap, .* did you mean 'gndrp'\?"),
        ("my_pooling:min", r"no attribute 'min'; did you mean 'mine'\?"),
        ("my_poolin:mine", r"No module named 'my_poolin'; did you mean 'my_pooling'\?"),
        ("__main__:gone", "what a notebook defines is there only"),
        ("my_pooling:one", r"called as one\(class_maps, settings\), but has too many"),
        (lambda class_maps, settings: class_maps, "made with `def`"),
        (sum, "made with `def`"),
        (3, "'3' is none of the poolings"),
    ],
)
def test_refuses_in_words(module, given, message):
    with pytest.raises(SettingsError, match=message):
        RIBSettings(pooling=given)
