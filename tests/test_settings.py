"""Settings: wrong values and unknown names are refused in words, and the hash knows what counts."""

import dataclasses
import re
from dataclasses import dataclass

import pytest

from ribnb.settings import Settings, SettingsError, setting
from ribnb.toy import RibLossSettings, ToySettings


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
    with pytest.raises(
        SettingsError, match="crop = 'all' is of type str; it must be int or NoneType"
    ):
        Cropped(crop="all")
    with pytest.raises(SettingsError, match="crop = 0 is not allowed"):
        Cropped(crop=0)


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
