"""Settings: what they take, what they refuse in words, their hash, their groups, their files."""

import pickle
from typing import Annotated, Literal

import pytest
from pydantic import Field, model_validator

from ribnb.core.parameters import differences, flat, nested
from ribnb.core.settings import Settings, SettingsError, for_chapter, read_settings_file, setting


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


def test_settings_are_frozen_and_go_to_other_processes():
    settings = Chapter(method={"steps": 3})
    with pytest.raises(ValueError, match="frozen"):
        settings.seed = 4
    assert pickle.loads(pickle.dumps(settings)) == settings


REFUSED = [  # class, values, paths to blame, what the message says of them
    (Method, {"stepps": 3}, ["stepps"], "no parameter 'stepps'; did you mean 'steps'?"),
    (Chapter, {"stepps": 3}, ["stepps"], "'stepps'; did you mean 'method.steps'?"),
    (Method, {"steps": 0}, ["steps"], r"steps = 0: it must be greater .* \(K, steps for each"),
    (Method, {"scales": [1, 1]}, [""], r"^scales = \(1.0, 1.0\): one stands there twice$"),
    (Method, {"steps": 0, "flip": 1}, ["steps", "flip"], "(?s)steps = 0.*\nflip = 1"),
    (Chapter, {"method": {"steps": 0}}, ["method.steps"], r"^method\.steps = 0: it must be"),
    (Chapter, {"method": {"scales": [1, 1]}}, ["method"], r"^method: scales = \(1.0, 1.0\)"),
    (Chapter, {"method": {"seed": 1}}, ["method"], "seed is the chapter's own parameter"),
    (Chapter, {"method": 3}, ["method"], "3 is no mapping of parameters"),
]


@pytest.mark.parametrize(("kind", "values", "paths", "message"), REFUSED)
def test_refuses_with_path_value_and_what_is_allowed(kind, values, paths, message):
    with pytest.raises(SettingsError, match=message) as refusal:
        kind(**values)
    assert [*refusal.value.faults] == paths


# Groups ---------------------------------------------------------------------------------


def test_a_group_is_its_preset_with_what_is_given_and_what_the_chapter_has():
    settings = Chapter(seed=7, method={"rate": 1})
    assert settings.method == Method(steps=5, rate=1, seed=7)
    assert Chapter(dataset="voc").method == Method(seed=3)


def test_replace_checks_and_puts_a_group_in_place_of_the_whole():
    settings = Chapter(method={"rate": 1})
    assert settings.replace(seed=4).method == Method(steps=5, rate=1, seed=4)
    assert settings.replace(method={}).method.rate == 8e-6
    changed = settings.replace(method=settings.method.replace(steps=2))
    assert changed.method == Method(steps=2, rate=1, seed=3)
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


# Names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"rib": {"steps": 1}, "rib.loss": "bce"}, {"rib": {"steps": 1, "loss": "bce"}}),
        ({"rib.steps": 1, "rib": {"steps": 2}}, {"rib": {"steps": 2}}),
        ({"a.b.c": [1]}, {"a": {"b": {"c": [1]}}}),
    ],
)
def test_dotted_names_become_groups(values, expected):
    assert nested(values) == nested(flat(expected)) == expected


def test_differences_name_each_field_of_a_group():
    there = {"seed": 3, "rib": {"steps": 1, "loss": "rib"}}
    here = {"seed": 3, "rib": {"steps": 2, "loss": "rib"}}
    assert differences(there, here) == "rib.steps is 1 there, 2 here"
    assert not differences(there, there)
    assert differences({}, {"rate": 1.0}) == "rate is None there, 1.0 here"


# Files ----------------------------------------------------------------------------------


class Toy(Settings):
    """A chapter without the group."""

    seed: int = setting(3, "of all")


CHAPTERS = {"rib": Chapter, "toy": Toy}


@pytest.fixture
def read(tmp_path):
    def read(text):
        (tmp_path / "s.yml").write_text(text, encoding="latin-1")
        return read_settings_file(tmp_path / "s.yml")

    return read


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *[("8e-6", 8e-6), ("-3", -3), ("true", True), ("null", None), ("[1, a]", [1, "a"])],
        *[(text, text) for text in ("off", "1:30", "0/4", "2012-05-01")],
    ],
)
def test_what_a_value_is_read_as(read, written, value):
    found = read(f"name: {written}")["name"]
    assert found == value and isinstance(found, type(value))


class Names(Settings):
    """Texts, which a parser may take for something else."""

    name: str | None = setting(None, "a text")
    more: tuple[str, ...] = setting((), "texts")
    rate: float = setting(1.0, "a number")


WRITTEN = "2012 1.10 1e3 010 2012_05 0x1F true no 2024-01-05 12:30 .inf -3 +5"


@pytest.mark.parametrize("written", [*WRITTEN.split(), "007 b"])
def test_a_text_stays_as_it_was_written_whatever_it_looks_like(read, written):
    values = read(f"name: {written}\nmore: [{written}, a]\nrate: 1.10")
    settings = Names.from_mapping(values)
    assert (settings.name, settings.more) == (written, (written, "a"))
    assert settings.rate == 1.1 and type(settings.rate) is float


def test_the_home_folder_is_put_for_its_sign(monkeypatch):
    monkeypatch.setenv("HOME", "/at/home")
    settings = Names(name="~/data", more=["~/a b", "c~/d", "~"])
    assert settings.name == "/at/home/data"
    assert settings.more == ("/at/home/a b", "c~/d", "/at/home")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", r"s.yml:3: not YAML: found duplicate key \"a\""),
        ("a: !!python/name:os.system\n", "not YAML: could not determine a constructor"),
        ("- a\n", "must be a mapping"),
        ("a: \xff\n", "not YAML"),
        ("chapters: {toi: {seed: 3}}", "'toi'; did you mean 'toy'"),
        ("methd: {steps: 3}", "'methd'; did you mean 'method'"),
        ("chapters: [rib]", r"\['rib'\] is no mapping of parameters"),
        ("chapters: {rib: 3}", "3 is no mapping of parameters to values"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(read, text, message):
    with pytest.raises(SettingsError, match=message):
        for_chapter(read(text), "rib", CHAPTERS)


def test_a_chapter_gets_what_is_for_all_its_groups_and_over_them_its_section(read):
    values = read(
        """
        seed: 4
        method: {rate: 0.5, steps: 2}
        method.loss: bce
        chapters:
          rib: {method.steps: 3, flip: false, folder: out}
          toy: {seed: 5}
        batch: {shards: 2}
        """
    )
    given = for_chapter(values, "rib", CHAPTERS)
    own = {"rate": 0.5, "steps": 3, "loss": "bce", "flip": False}
    assert given == {"seed": 4, "folder": "out", "method": own}  # flip is of one group alone
    assert for_chapter(values, "toy", CHAPTERS) == {"seed": 5}
    mine = for_chapter(values, "mine", {"mine": None, **CHAPTERS})
    assert mine["method"] == {"rate": 0.5, "steps": 2, "loss": "bce"}
