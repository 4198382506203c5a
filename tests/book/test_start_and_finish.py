"""How a chapter starts and ends: what it refuses, what it shows, what it writes."""

import json

import pytest
import torch

from ribnb.book import CHAPTERS, finish, start
from ribnb.book.chapters import InForce
from ribnb.core.settings import SettingsError, flat


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_settings_and_run_are_those_of_the_namespace(tmp_path, capsys):
    namespace = {"num_images": 6, "rib": {"iterations": 5}, "output_dir": str(tmp_path), "x": 1}
    settings, run = start("voc_rib", namespace)
    assert settings == CHAPTERS["voc_rib"](
        num_images=6, rib={"iterations": 5}, output_dir=str(tmp_path)
    )
    assert (run.chapter, run.settings, run.folder) == ("voc_rib", settings, tmp_path)
    assert torch.get_num_threads() == 1
    assert "rib.iterations" in capsys.readouterr().out


def test_on_voc_torch_keeps_its_threads(tmp_path):
    torch.set_num_threads(2)
    namespace = {"dataset": "voc", "data_root": str(tmp_path), "classifier": "net.safetensors"}
    start("voc_rib", namespace)
    assert torch.get_num_threads() == 2


def test_a_chapter_that_reads_results_has_no_run():
    settings, run = start("ablations", {"resamples": 20})
    assert (settings.resamples, run) == (20, None)


def test_what_papermill_injects_and_nobody_reads_is_refused():
    cells = ["", "seed = 3", "# Parameters\nseed = 4\nrb = {'iterations': 5}\n"]
    with pytest.raises(SettingsError, match=r"voc_rib has no parameter 'rb'; did you mean 'rib'"):
        start("voc_rib", {"seed": 4, "In": cells})
    again = [*cells, "# Parameters\nseed = 5\n"]  # after a correction the last such cell counts
    assert start("voc_rib", {"seed": 5, "In": again})[0].seed == 5


def test_a_wrong_value_is_refused_before_anything_is_written(tmp_path):
    given = {"rib": {"iterations": "many"}, "output_dir": str(tmp_path / "out")}
    with pytest.raises(SettingsError, match=r"rib\.iterations = 'many': it must be"):
        start("voc_rib", given)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_table_has_every_setting_that_decides_the_result_and_no_path(chapter):
    settings = CHAPTERS[chapter]()
    shown = InForce(settings)
    page = shown._repr_html_()
    names = flat(settings.identity())
    assert [name for name, _, _ in shown.rows] == [*names]
    for name, _, meaning in shown.rows:
        assert f"<code>{name}</code>" in page
        assert meaning
        assert name in repr(shown)
    assert "output_dir" not in page
    assert "data_root" not in page


def test_the_table_is_text_in_html():
    settings = CHAPTERS["voc_rib"](data={"score_on": "<b>"})
    assert "&lt;b&gt;" in InForce(settings)._repr_html_()


def test_the_end_writes_the_result_and_says_what_was_left_out(tmp_path, capsys):
    _, run = start("voc_rib", {"output_dir": str(tmp_path)})
    capsys.readouterr()
    about = {"split": "train", "images": 1, "seed": 3, "failures": {"a": "it is broken"}}
    result = finish(run, {"seed_miou": 50.0}, **about)
    assert capsys.readouterr().out == "left out: a: it is broken\n"
    assert json.loads((tmp_path / "result.json").read_text()) == result
    assert result["settings"]["rib"]["iterations"] == 10
