"""Settings: wrong values and unknown names are refused in words, and the hash knows what counts."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass

import pytest

from ribnb.book.toy import RibLossSettings, ToySettings
from ribnb.core.settings import (
    Settings,
    SettingsError,
    in_words,
    name_and_value,
    optional,
    setting,
)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("seeds", 0, "seeds = 0 is not allowed; it must be at least 1"),
        ("seeds", -2, "seeds = -2 is not allowed"),
        ("seeds", "3", "seeds = '3' is of type str; it must be int"),
        ("seeds", 3.0, r"seeds = 3\.0 is of type float; it must be int"),
        ("seeds", True, "seeds = True is of type bool; it must be int"),
        ("seeds", None, "seeds = None is of type NoneType; it must be int"),
        ("epochs", 0, "epochs = 0 is not allowed"),
        ("num_images", -5, "num_images = -5 is not allowed; it must be at least 1"),
        (
            "digits",
            "cifar",
            "digits = 'cifar' is not allowed; it must be one of 'embedded', 'mnist'",
        ),
        ("digits", 2, "digits = 2 is of type int; it must be str"),
        ("download", 1, "download = 1 is of type int; it must be bool"),
        ("hgr_threshold", float("nan"), "hgr_threshold = nan is not allowed.*a finite number"),
        ("hgr_threshold", 1.5, r"hgr_threshold = 1\.5 is not allowed; it must be at most 1"),
        ("hgr_threshold", -0.1, r"hgr_threshold = -0\.1 is not allowed; it must be at least 0"),
        ("hgr_threshold", False, "hgr_threshold = False is of type bool; it must be float"),
        ("output_dir", 5, "output_dir = 5 is of type int; it must be str"),
        ("output_dir", None, "output_dir = None is of type NoneType"),
        ("iterations", 0, "iterations = 0 is not allowed"),
        ("learning_rate", 0.0, r"learning_rate = 0\.0 is not allowed; it must be greater than 0"),
        ("learning_rate", float("inf"), "learning_rate = inf is not allowed.*a finite number"),
        ("margin", 0, "margin = 0 is not allowed; it must be greater than 0"),
        ("batch_size", 0, "batch_size = 0 is not allowed"),
        ("num_adapted", 0, "num_adapted = 0 is not allowed"),
    ],
)
def test_refuses_a_wrong_value_with_its_field_and_what_is_allowed(name, value, message):
    with pytest.raises(SettingsError, match=message) as caught:
        RibLossSettings(**{name: value})
    meaning = RibLossSettings.__dataclass_fields__[name].metadata["meaning"]
    assert f"({meaning})" in str(caught.value)


def test_limits_themselves_are_allowed():
    settings = RibLossSettings(seeds=1, hgr_threshold=0.0, iterations=1, batch_size=1)
    assert (settings.seeds, settings.hgr_threshold) == (1, 0)
    assert ToySettings(hgr_threshold=1.0).hgr_threshold == 1


def test_an_optional_setting_may_be_none():
    @dataclass(frozen=True)
    class Cropped(Settings):
        crop: int | None = setting(None, "side in pixels; None: whole images", minimum=1)

    assert Cropped().crop is None
    assert Cropped(crop=5).crop == 5
    with pytest.raises(SettingsError, match="crop = 'all' is of type str; it must be int or None"):
        Cropped(crop="all")
    with pytest.raises(SettingsError, match="crop = 0 is not allowed"):
        Cropped(crop=0)


@dataclass(frozen=True)
class Listed(Settings):
    """Settings with several values in one field."""

    scales: tuple[float, ...] = setting((1.0, 2.0), "of the image", above=0, maximum=4)
    epochs: tuple[int, ...] = setting((1,), "one for each stage", minimum=1)
    names: tuple[str, ...] = setting(("a",), "of the stages", choices=("a", "b"))


@pytest.mark.parametrize("given", [[1, 2], (1, 2), [1.0, 2], (1.0, 2.0)])
def test_a_list_and_a_tuple_are_one_setting(given):
    """papermill and JSON give lists; as a tuple the settings stay hashable."""
    settings = Listed(scales=given)
    assert settings == Listed()
    assert settings.hash() == Listed().hash()
    assert hash(settings) == hash(Listed())
    assert repr(settings.scales) == "(1.0, 2.0)"


def test_a_list_given_cannot_change_the_settings_later():
    given = [1, 3]
    settings = Listed(scales=given)
    given.append(4)
    assert settings.scales == (1, 3)


def test_whole_numbers_stay_whole_in_a_tuple_of_them():
    assert repr(Listed(epochs=[2, 3]).epochs) == "(2, 3)"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("scales", 1.0, r"scales = 1\.0; it must be a list of float, with at least one item"),
        ("scales", None, "scales = None; it must be a list of float"),
        ("scales", "12", "scales = '12'; it must be a list of float"),
        ("scales", {1.0, 2.0}, "it must be a list of float"),
        ("scales", {1.0: 2.0}, "it must be a list of float"),
        ("scales", [], r"scales = \[\]; it must be a list of float, with at least one item"),
        ("scales", (), r"scales = \(\); it must be a list of float, with at least one item"),
        ("scales", [1, "2"], "scales = '2' is of type str; it must be float"),
        ("scales", [True], "scales = True is of type bool; it must be float"),
        ("scales", [None], "scales = None is of type NoneType; it must be float"),
        ("scales", [[1.0]], r"scales = \[1\.0\] is of type list; it must be float"),
        ("scales", [1, 0], "scales = 0 is not allowed; it must be greater than 0"),
        ("scales", [1, 5], "scales = 5 is not allowed; it must be at most 4"),
        ("scales", [1, float("nan")], "scales = nan is not allowed; it must be a finite number"),
        ("epochs", [1.0], r"epochs = 1\.0 is of type float; it must be int"),
        ("epochs", [1, 0], "epochs = 0 is not allowed; it must be at least 1"),
        ("names", ["a", "c"], "names = 'c' is not allowed; it must be one of 'a', 'b'"),
        ("names", "a", "names = 'a'; it must be a list of str"),
    ],
)
def test_refuses_a_wrong_item_with_its_field(name, value, message):
    with pytest.raises(SettingsError, match=message) as caught:
        Listed(**{name: value})
    assert f"({Listed.__dataclass_fields__[name].metadata['meaning']})" in str(caught.value)


def test_the_order_and_number_of_a_tuples_items_count():
    hashes = {Listed(scales=one).hash() for one in ([1, 2], [2, 1], [1], [1, 2, 2], [1, 2.5])}
    assert len(hashes) == 5


def test_settings_with_tuples_survive_json():
    settings = Listed(scales=[1, 3], epochs=[4, 5], names=["b", "a"])
    values = json.loads(json.dumps(settings.as_dict()))
    assert values == {"scales": [1, 3], "epochs": [4, 5], "names": ["b", "a"]}
    assert Listed.from_mapping(values) == settings


def test_a_notebooks_list_becomes_a_tuple():
    assert Listed.from_notebook(namespace("# Parameters\nscales = [3]\n", scales=[3])).scales == (
        3,
    )


def test_settings_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ToySettings().seeds = 5


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("sedes", "seeds"), ("num_image", "num_images"), ("Digits", "digits"), ("threshold", "hgr_")],
)
def test_an_unknown_name_is_refused_with_the_nearest_known_one(name, nearest):
    with pytest.raises(SettingsError, match=f"no parameter '{name}'; did you mean '{nearest}"):
        ToySettings.from_mapping({"seeds": 2, name: 1})


def test_a_name_near_to_none_is_refused_with_all_that_are_known():
    with pytest.raises(
        SettingsError, match=r"no parameter 'xyzzy'; It knows: digits, .*output_dir"
    ):
        ToySettings.from_mapping({"xyzzy": 1})


# From a notebook --------------------------------------------------------------------------

PARAMETERS = "seeds: int = 3  # nets\nepochs: int = 12"
INJECTED = "# Parameters\nseeds = 1\n"


def namespace(*cells: str, **values) -> dict:
    """A notebook's ``globals()`` after these cells ran."""
    return {"In": ["", "import ribnb", PARAMETERS, *cells], "torch": object(), **values}


def test_a_notebooks_variables_become_its_settings():
    settings = ToySettings.from_notebook(namespace(seeds=2, epochs=5, digits="mnist"))
    assert settings == ToySettings(seeds=2, epochs=5, digits="mnist")
    assert ToySettings.from_notebook(namespace(INJECTED, seeds=1)).seeds == 1


def test_works_without_a_notebook_around_it():
    assert ToySettings.from_notebook({"seeds": 4}).seeds == 4


def test_an_injected_name_that_the_chapter_does_not_know_is_refused():
    cells = namespace("# Parameters\nseeds = 1\niteration = 4\n", seeds=1, iteration=4)
    message = "this chapter has no parameter 'iteration'; did you mean 'iterations'"
    with pytest.raises(SettingsError, match=message):
        RibLossSettings.from_notebook(cells)


def test_after_a_correction_only_the_last_injected_cell_counts():
    cells = namespace("# Parameters\nsedes = 1\n", INJECTED, seeds=1, sedes=1)
    assert ToySettings.from_notebook(cells).seeds == 1


def test_a_wrong_value_in_a_notebook_is_refused():
    with pytest.raises(SettingsError, match="seeds = 0 is not allowed"):
        ToySettings.from_notebook(namespace(INJECTED, seeds=0))


# Hash -------------------------------------------------------------------------------------

OTHER = {
    "digits": "mnist",
    "seeds": 4,
    "epochs": 13,
    "num_images": 2001,
    "hgr_threshold": 0.31,
    "iterations": 11,
    "learning_rate": 1e-3,
    "margin": 500.0,
    "batch_size": 2,
    "num_adapted": 51,
}
ELSEWHERE = {"data_root": "mnt", "download": True, "device": "cpu", "output_dir": "runs/1"}


def test_every_setting_is_covered_here():
    assert OTHER.keys() | ELSEWHERE.keys() == RibLossSettings().as_dict().keys()


@pytest.mark.parametrize("name", OTHER)
def test_hash_changes_with_what_changes_the_result(name):
    assert RibLossSettings(**{name: OTHER[name]}).hash() != RibLossSettings().hash()


@pytest.mark.parametrize("name", ELSEWHERE)
def test_hash_ignores_where_it_runs_and_writes(name):
    assert RibLossSettings(**{name: ELSEWHERE[name]}).hash() == RibLossSettings().hash()


def test_hash_is_short_and_that_of_its_class():
    assert re.fullmatch(r"[0-9a-f]{12}", ToySettings().hash())
    assert ToySettings().hash() != RibLossSettings().hash()


def test_600_and_600_point_0_are_one_setting():
    """On a command line both are written."""
    assert RibLossSettings(margin=600).hash() == RibLossSettings(margin=600.0).hash()
    assert repr(RibLossSettings(margin=600).margin) == "600.0"


# Settings beside those of a method --------------------------------------------------------


@dataclass(frozen=True)
class Method(Settings):
    steps: int = setting(10, "how many", minimum=1)
    rate: float = setting(0.1, "how fast", above=0)
    scales: tuple[float, ...] = setting((1.0, 0.5), "of the image", above=0)
    crop: int | None = setting(None, "pixels")
    folder: str = setting("", "where", identity=False)
    seed: int = setting(0, "of the draws")


@dataclass(frozen=True)
class Chapter(optional(Method, without=("seed",))):
    seed: int = setting(3, "of all that is drawn")


def test_optional_settings_are_those_of_the_method_and_none():
    assert Chapter().as_dict() == {
        **dict.fromkeys(("steps", "rate", "scales", "crop", "folder")),
        "seed": 3,
    }
    types = {one.name: one.type for one in dataclasses.fields(Chapter)}
    assert types["scales"] == "tuple[float, ...] | None"
    assert types["crop"] == "int | None"
    for one in dataclasses.fields(Method):
        if one.name != "seed":
            assert Chapter.__dataclass_fields__[one.name].metadata == one.metadata
    with pytest.raises(dataclasses.FrozenInstanceError):
        Chapter().steps = 3


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("steps", 0, "steps = 0 is not allowed; it must be at least 1"),
        ("steps", "3", "steps = '3' is of type str; it must be int or None"),
        ("scales", (), r"scales = \(\); it must be a list of float, with at least one item"),
        ("scales", 0.5, r"scales = 0\.5; it must be a list of float"),
        ("scales", [1, "a"], "scales = 'a' is of type str; it must be float"),
        ("scales", [1, -1], "scales = -1 is not allowed; it must be greater than 0"),
        ("scales", [1, None], "scales = None is of type NoneType; it must be float"),
    ],
)
def test_optional_settings_have_the_limits_of_the_method(name, value, message):
    with pytest.raises(SettingsError, match=message):
        Chapter(**{name: value})


def test_an_optional_tuple_is_one_of_floats_or_none():
    assert Chapter(scales=None).scales is None
    assert repr(Chapter(scales=[1, 0.5]).scales) == "(1.0, 0.5)"
    assert Chapter(scales=[1, 2]).hash() == Chapter(scales=(1.0, 2.0)).hash()
    assert Chapter(scales=[1]).hash() != Chapter().hash()
    assert repr(Chapter(rate=2).rate) == "2.0"


def test_what_is_elsewhere_in_the_method_is_elsewhere_in_the_chapter():
    assert Chapter(folder="a").hash() == Chapter().hash()
    assert Chapter(steps=4).hash() != Chapter().hash()


def test_values_in_words_are_not_torn_from_their_names():
    values = {"steps": 10, "scales": [1.0, 0.5], "word": "two words"}
    assert in_words(values) == "steps = 10, scales = [1.0, 0.5], word = two words"
    assert in_words(values, width=24).splitlines() == [
        "steps = 10,",
        "scales = [1.0, 0.5],",
        "word = two words",
    ]


@pytest.mark.parametrize("text", ["scales=1, 0.5", "scales=[1, 0.5]", "scales=(1, 0.5)"])
def test_a_list_on_the_command_line(text):
    assert name_and_value(text) == ("scales", [1, 0.5])


def test_settings_in_words_tear_no_value_from_its_name():
    words = in_words({"scales": [1.0, 0.5], "variant": "paper", "loss": "rib"}, width=24)
    assert words == "scales = [1.0, 0.5],\nvariant = paper,\nloss = rib"
