"""Result files: what is damaged, older or edited is refused with its reason, what is stale told."""

import copy
import json

import pytest
from small_results import CHAPTERS, made_up, put

from ribnb.runs.results import (
    book_folder,
    digest,
    find_results,
    load_results,
    read_result,
    signed,
    stale,
)


def reason(path) -> str:
    """Why a file is refused."""
    with pytest.raises(ValueError) as error:
        read_result(path)
    return str(error.value)


def edit(path, change) -> None:
    """As someone does it by hand, who does not know of the digest."""
    result = json.loads(path.read_text())
    change(result)
    path.write_text(json.dumps(result))


def without(result: dict, *names: str) -> dict:
    return {name: value for name, value in result.items() if name not in names}


# What is whole ----------------------------------------------------------------------------


def test_the_digest_is_the_one_that_others_can_compute():
    result = {"b": [1, (2.5, None)], "a": {1: "é"}}
    # printf '{"a":{"1":"\\u00e9"},"b":[1,[2.5,null]]}' | sha256sum
    expected = "892f4813995c5144668ce176c4e3394d3f658c4a705700ecc640356e057ea2cb"
    assert digest(result) == expected


# What is not ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"format": 2, "metr', "is not whole JSON (Unterminated string"),
        (b"[]", "is of format None, not this version's 3"),
        (b'{"format": 3}', "was edited after it was written"),
    ],
)
def test_what_is_no_result_is_refused_with_the_reason(tmp_path, content, why):
    path = tmp_path / "result.json"
    path.write_bytes(content)
    assert reason(path).startswith(why)


def new_metric(result) -> None:
    result["metrics"].update(seed_miou=50.1)


# Many -------------------------------------------------------------------------------------


def planted(folder) -> None:
    """Two whole results, and one of each kind of fault."""
    put(folder / "b" / "deeper", seed=4)
    put(folder / "a", seed=3)
    edit(put(folder / "edited"), new_metric)
    edit(put(folder / "older"), lambda result: result.update(format=1))
    (folder / "result.json").write_text("{")


def test_results_are_found_with_their_paths_and_the_rest_with_its_reason(tmp_path):
    planted(tmp_path)
    results, problems = find_results(tmp_path)
    places = [tmp_path / "a" / "result.json", tmp_path / "b" / "deeper" / "result.json"]
    assert [one["path"] for one in results] == list(map(str, places))
    assert [one["seed"] for one in results] == [3, 4]
    expected = {"edited": "was edited", "older": "is of format 1", "": "is not whole JSON"}
    assert problems.keys() == {str(tmp_path / name / "result.json") for name in expected}
    for name, why in expected.items():
        assert problems[str(tmp_path / name / "result.json")].startswith(why)
    assert find_results(tmp_path / "none") == ([], {})
    put(tmp_path / "stale", old_result())
    assert len(find_results(tmp_path)[0]) == 3
    results, problems = find_results(tmp_path, CHAPTERS)
    assert [result["seed"] for result in results] == [3, 4]
    assert problems[str(tmp_path / "stale" / "result.json")].startswith("is stale: voc_rib")
    with pytest.warns(UserWarning, match="It is left out") as warned:
        assert len(load_results(tmp_path)) == 3
    assert len(warned) == 3


# Stale ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "result",
    [
        made_up(seed=5, variant="paper", moving_stages=2, shard="1/4", device="cuda:3"),
        made_up("toy_bottleneck", metrics={"accuracy": 1}),
        made_up() | {"chapter": "mine", "settings": {"x": 1}},  # of somebody else
    ],
)
def test_what_the_present_version_makes_is_not_stale(tmp_path, result):
    assert stale(read_result(put(tmp_path, result)), CHAPTERS) == ""


def settings_of(result: dict, change) -> dict:
    settings = copy.deepcopy(result["settings"])
    change(settings)
    return signed(result | {"settings": settings})


def old_result() -> dict:
    """One from before a setting came."""
    return settings_of(made_up(), lambda settings: settings["rib"].pop("margin_rule"))


def test_settings_that_came_went_or_are_read_otherwise_make_a_result_stale():
    workers = settings_of(made_up(), lambda settings: settings.pop("workers"))
    assert stale(workers, CHAPTERS) == "", "it changes no result"
    why = "voc_rib reads its settings otherwise now (rib.margin_rule is None there, 'cap' here)"
    assert stale(old_result(), CHAPTERS) == f"is stale: {why}; run its chapter again"
    result = settings_of(made_up(), lambda settings: settings.update(old_name=1))
    said = stale(result, CHAPTERS)
    assert said.startswith("is stale: voc_rib refuses its settings now: ") and "old_name" in said
    result = settings_of(made_up(), lambda settings: settings["rib"].update(pooling="max"))
    said = stale(result, CHAPTERS)
    assert "refuses its settings now: rib.pooling: 'max' is none of the poolings" in said
    assert "(hash)" in stale(made_up() | {"settings_hash": "0" * 12}, CHAPTERS)


def test_the_results_of_the_book_are_whole_and_fresh():
    from chapters import Book

    results, problems = find_results(Book().notebook("rib").parent / "results", CHAPTERS)
    assert (len(results) >= 15, problems) == (True, {})


# The book's -------------------------------------------------------------------------------


def test_the_books_files_are_found_also_in_a_package_without_a_repository(tmp_path, monkeypatch):
    assert (book_folder("settings") / "ablations" / "tau.yml").is_file()
    assert next(book_folder("results").rglob("result.json")).is_file()
    package = tmp_path / "ribnb"
    (package / "book" / "results").mkdir(parents=True)
    monkeypatch.setattr("ribnb.runs.results.PACKAGE", package)
    assert book_folder("results") == package / "book" / "results"
    with pytest.raises(FileNotFoundError, match="no book/settings; install it anew"):
        book_folder("settings")
