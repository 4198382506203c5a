"""The base of all settings: what it takes, what it refuses in words, its hash, its groups."""

import copy
import pickle
from typing import Annotated, Literal

import pytest
from pydantic import Field, model_validator

from ribnb.core.settings import (
    Settings,
    SettingsError,
    differences,
    flat,
    merged,
    name_and_value,
    nested,
    refuse_unknown,
    setting,
)


class Method(Settings):
    """A method, as RIB's settings are."""

    steps: int = setting(10, "K, steps for each image [paper]", ge=1)
    rate: float = setting(8e-6, "lambda", gt=0)
    share: float | None = setting(None, "when to stop; None: never", ge=0, le=1)
    loss: Literal["rib", "bce"] = setting("rib", "what is made larger")
    scales: tuple[Annotated[float, Field(gt=0)], ...] = setting(
        (1.0, 0.5), "of the image", min_length=1
    )
    flip: bool = setting(True, "mirrored too")
    seed: int = setting(0, "of all that is drawn", ge=0)
    log: str = setting("", "where to write", identity=False)

    @model_validator(mode="after")
    def _scales_once(self):
        if len(set(self.scales)) < len(self.scales):
            raise SettingsError(f"scales = {self.scales}: one stands there twice")
        return self


class Chapter(Settings):
    """A chapter with that method as a group."""

    dataset: Literal["scenes", "voc"] = setting("scenes", "whose settings hold")
    seed: int = setting(3, "of all that is drawn", ge=0)
    folder: str = setting("", "for the result", identity=False)
    method: Method = setting({}, "how")

    @classmethod
    def preset(cls, group, given):
        return Method(steps=5 if given.get("dataset") == "scenes" else 10)


# Values ---------------------------------------------------------------------------------


def test_values_are_kept_as_their_types_have_them():
    settings = Method(steps=3, rate=1, scales=[2, 1], share=0)
    assert (settings.steps, settings.rate, settings.scales) == (3, 1.0, (2.0, 1.0))
    assert all(type(one) is float for one in (settings.rate, settings.share, *settings.scales))
    assert Method.from_mapping({"flip": False}) == Method(flip=False)


def test_settings_are_frozen_and_can_be_copied_pickled_and_hashed():
    settings = Chapter(method={"steps": 3})
    with pytest.raises(ValueError, match="frozen"):
        settings.seed = 4
    for again in (pickle.loads(pickle.dumps(settings)), copy.deepcopy(settings)):
        assert again == settings
        assert hash(again) == hash(settings)


REFUSED = [  # class, values, paths to blame, what the message says of them
    (Method, {"stepps": 3}, ["stepps"], "no parameter 'stepps'; did you mean 'steps'?"),
    (Method, {"tau": 3}, ["tau"], "It knows: steps, rate, share"),
    (Method, {"steps": 0}, ["steps"], r"steps = 0: it must be at least 1 \(K, steps for each"),
    (Method, {"steps": True}, ["steps"], "steps = True: it must be a valid integer"),
    (Method, {"rate": "8e-6"}, ["rate"], "rate = '8e-6': it must be a valid number"),
    (Method, {"rate": 0}, ["rate"], "rate = 0: it must be greater than 0"),
    (Method, {"rate": float("nan")}, ["rate"], "it must be a finite number"),
    (Method, {"share": 2}, ["share"], "share = 2: it must be at most 1.*, or None"),
    (Method, {"loss": "mse"}, ["loss"], "loss = 'mse': it must be one of 'rib' or 'bce'"),
    (Method, {"flip": 1}, ["flip"], "flip = 1: it must be a valid boolean"),
    (Method, {"scales": []}, ["scales"], "a list of at least 1"),
    (Method, {"scales": [1, 0]}, ["scales.1"], "scales.1 = 0: it must be greater than 0"),
    (Method, {"scales": [1, 1]}, [""], r"^scales = \(1.0, 1.0\): one stands there twice$"),
    (Method, {"steps": 0, "flip": 1}, ["steps", "flip"], "(?s)steps = 0.*\nflip = 1"),
    (Chapter, {"method": {"steps": 0}}, ["method.steps"], r"^method\.steps = 0: it must be at"),
    (Chapter, {"method": {"step": 1}}, ["method.step"], "^method.step: Method has no parameter"),
    (Chapter, {"method": {"scales": [0]}}, ["method.scales.0"], "greater than 0"),
    (Chapter, {"method": {"scales": [1, 1]}}, ["method"], r"^method: scales = \(1.0, 1.0\)"),
    (Chapter, {"method": {"seed": 1}}, ["method"], "seed is the chapter's own parameter"),
    (Chapter, {"method": 3}, ["method"], "3 is no mapping of parameters"),
    (Chapter, {"dataset": "coco", "method": {"steps": 3}}, ["dataset"], "dataset = 'coco'"),
]


@pytest.mark.parametrize(("kind", "values", "paths", "message"), REFUSED)
def test_refuses_with_path_value_and_what_is_allowed(kind, values, paths, message):
    with pytest.raises(SettingsError, match=message) as refusal:
        kind(**values)
    assert refusal.value.paths == paths


# Groups ---------------------------------------------------------------------------------


def test_a_group_is_its_preset_with_what_is_given_and_what_the_chapter_has():
    settings = Chapter(seed=7, method={"rate": 1})
    assert settings.method == Method(steps=5, rate=1, seed=7)
    assert Chapter(dataset="voc").method == Method(seed=3)


def test_what_is_shared_stands_once_in_a_chapters_values():
    values = Chapter().as_dict()
    assert values["seed"] == 3
    assert values["method"].keys() == Method.model_fields.keys() - {"seed"}
    assert values["method"]["scales"] == [1.0, 0.5]


def test_replace_checks_and_puts_a_group_in_place_of_the_whole():
    settings = Chapter(method={"rate": 1})
    assert settings.replace(seed=4).method == Method(steps=5, rate=1, seed=4)
    assert settings.replace(method={}).method.rate == 8e-6
    changed = settings.replace(method=settings.method.replace(steps=2))
    assert changed.method == Method(steps=2, rate=1, seed=3)
    with pytest.raises(SettingsError, match="did you mean 'seed'"):
        settings.replace(seeds=4)
    with pytest.raises(SettingsError, match=r"method\.steps = 0"):
        settings.replace(method={"steps": 0})


# Hash -----------------------------------------------------------------------------------

OTHER = {"steps": 3, "rate": 1.0, "share": 0.5, "loss": "bce", "scales": (1.0,)}
OTHER |= {"flip": False, "seed": 1}


def test_the_hash_changes_with_all_that_changes_the_result_and_nothing_else():
    assert OTHER.keys() | {"log"} == Method.model_fields.keys()
    hashes = {Method(**{name: value}).hash() for name, value in OTHER.items()}
    assert len(hashes | {Method().hash()}) == len(OTHER) + 1
    assert Method(log="elsewhere").hash() == Method().hash()
    assert len(Method().hash()) == 12
    chapters = {Chapter(method={k: v}).hash() for k, v in OTHER.items() if k != "seed"}
    assert len(chapters | {Chapter().hash(), Chapter(seed=1).hash()}) == len(OTHER) + 1
    assert Chapter(method={"log": "elsewhere"}, folder="a").hash() == Chapter().hash()


def test_the_hash_does_not_depend_on_how_a_value_is_written_or_whether_it_is():
    assert Method(rate=600).hash() == Method(rate=600.0).hash()
    assert Method(scales=[1, 0.5]).hash() == Method().hash()
    spelled = Chapter(method={"steps": 5, "rate": 8e-6, "share": None})
    assert spelled.hash() == Chapter().hash()
    assert Chapter.identity_of(Chapter().as_dict()) == Chapter().identity()


def test_classes_have_hashes_of_their_own():
    class Other(Method):
        """The same fields."""

    assert Other().hash() != Method().hash()


# Names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"a": 1}, {"a": 1}),
        ({"rib.steps": 1, "rib.loss": "bce"}, {"rib": {"steps": 1, "loss": "bce"}}),
        ({"rib": {"steps": 1}, "rib.loss": "bce"}, {"rib": {"steps": 1, "loss": "bce"}}),
        ({"rib.steps": 1, "rib": {"steps": 2}}, {"rib": {"steps": 2}}),
        ({"a.b.c": [1]}, {"a": {"b": {"c": [1]}}}),
        ({"rib": {}}, {"rib": {}}),
    ],
)
def test_dotted_names_become_groups(values, expected):
    assert nested(values) == expected


def test_a_name_is_a_value_or_a_group():
    with pytest.raises(SettingsError, match="rib is given as a value and as a group"):
        nested({"rib": 3, "rib.steps": 1})


def test_merged_takes_the_last_value_field_by_field_and_leaves_what_it_is_given():
    layers = {"a": 1, "rib": {"steps": 1}}, {"rib": {"loss": "bce"}}, {"rib": {"steps": 2}, "a": 2}
    before = copy.deepcopy(layers)
    assert merged(*layers) == {"a": 2, "rib": {"steps": 2, "loss": "bce"}}
    assert layers == before


def test_flat_is_the_inverse_of_nested():
    values = {"a": 1, "rib.steps": 2, "rib.scales": [1]}
    assert flat(nested(values)) == values


def test_differences_name_each_field_of_a_group():
    there = {"seed": 3, "rib": {"steps": 1, "loss": "rib"}}
    here = {"seed": 3, "rib": {"steps": 2, "loss": "rib"}}
    assert differences(there, here) == "rib.steps is 1 there, 2 here"
    assert not differences(there, there)
    assert differences({}, {"rate": 1.0}) == "rate is None there, 1.0 here"


def test_an_unknown_name_is_answered_with_the_nearest():
    refuse_unknown(["a"], ["a", "b"], "it")
    with pytest.raises(SettingsError, match=r"^it has no parameter 'seds'; did you mean 'seeds'\?"):
        refuse_unknown(["seeds", "seds"], ["seeds"], "it")
    with pytest.raises(SettingsError, match="'xyz'; It knows: seeds"):
        refuse_unknown(["xyz"], ["seeds"], "it")


# Of a command line ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("3", 3), ("1e-3", 1e-3), ("True", True), ("true", True), ("null", None)],
        *[("[1, 2]", [1, 2]), ("1, 2", [1, 2]), ("{'steps': 2}", {"steps": 2})],
        *[("voc", "voc"), ("a=b", "a=b"), ("", ""), ("2007_000032x", "2007_000032x")],
    ],
)
def test_a_value_on_the_command_line(text, value):
    name, read = name_and_value(f"rib.name={text}")
    assert (name, read, type(read)) == ("rib.name", value, type(value))


def test_a_word_without_a_value_is_refused():
    with pytest.raises(SettingsError, match="'seed' is not of the form NAME=VALUE"):
        name_and_value("seed")
