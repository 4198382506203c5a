"""The scoreboard: a number only from whole results of its own settings, the rest named."""

import shutil

import pytest
from small_results import CHAPTERS, made_up, put

from ribnb.book import book_ablations
from ribnb.core.parameters import merged
from ribnb.core.settings import for_chapter, read_settings_file
from ribnb.core.voc import CLASS_NAMES
from ribnb.evidence.results import Published
from ribnb.evidence.scoreboard import (
    PHOTOGRAPHS,
    TOYS,
    Board,
    board_claims,
    notes,
    origins,
    scores_table,
)
from ribnb.evidence.stages import ROWS
from ribnb.runs.ablations import read_ablations
from ribnb.runs.results import book_folder

ABLATIONS = read_ablations(book_folder("settings") / "ablations", CHAPTERS)
RIB, REFINED = ROWS[1], ROWS[3]  # its seeds, without and with a CRF
MASKS = {"cam": 50.0, "cam_crf": 50.0, "cam_irn": 60.0, "rib": 54.0}
VOC = {"dataset": "voc", "data_root": "data", "num_images": 0, "classifier": "theta_0"}
BY_CLASS = dict.fromkeys(("background", *CLASS_NAMES), 50.0)
BATCH = "ablations_photographs"


def read(folder) -> Board:
    return Board(Published.read(folder, CHAPTERS), CHAPTERS)


def masks(seed, crf=0.0, irn=0.0):
    """A made-up result of voc_masks."""
    miou = {**MASKS, "rib_crf": 54.0 + crf, "rib_irn": 60.0 + irn, "rib_saliency": 78.0}
    return made_up("voc_masks", {"mask_miou": miou}, seed=seed, num_images=400)


@pytest.fixture
def folder(tmp_path):
    """Three nets' masks; RIB - CAM is 3, 4 and 5 points with a CRF, and 1, 0 and -1 with IRN."""
    for place, seed in enumerate((3, 4, 5)):
        put(tmp_path / f"masks_{seed}", masks(seed, place - 1, 1 - place))
    return tmp_path


def claims(folder, *asked):
    """The claims of the list that begin with these words."""
    board = read(folder)
    found = {name: board.published.of(ablation) for name, ablation in ABLATIONS.items()}
    return [one for one in board_claims(board, found, {}) if one.asked.startswith(asked)]


def claim(folder, asked):
    (the_one,) = claims(folder, asked)
    return the_one


def test_a_cell_is_mean_and_sample_deviation_over_the_nets(folder):
    assert read(folder).scenes(REFINED.scenes).values == (53.0, 54.0, 55.0)
    assert "54.0 ± 1.0, n = 3" in list(scores_table(read(folder))["ours on scenes"])


def test_what_was_edited_is_no_number_and_is_named_with_its_command(folder):
    path = folder / "masks_4" / "result.json"
    path.write_text(path.read_text().replace("54.0", "64.0"))
    board = read(folder)
    assert str(board.scenes(REFINED.scenes)) == "voc_masks of seed 4 is missing"
    said = notes(board)
    assert "masks_4/result.json" in said and "edited" in said
    assert said.count("ribnb run voc_masks") == 1
    assert "ribnb run voc_masks -p num_images=400 -p seed=4" in said
    assert "54.0 ± " not in scores_table(board).to_string()
    assert origins(board).empty
    found = claim(folder, "seeds after a dense CRF: RIB")
    assert (found.verdict, found.missing) == ("no result yet", "voc_masks of seed 4 is missing")


def test_runs_without_scores_of_images_have_no_difference(folder):
    found = claim(folder, "seeds after a dense CRF: RIB")
    assert found.paper == "higher: 62.9 against 53.7"
    assert (found.verdict, found.difference) == ("no result yet", None)
    assert found.missing == "no scores of the images in rib_crf; no scores of the images in cam_crf"


def test_digits_are_judged_by_ranges_that_do_not_touch(tmp_path):
    def digits(name, high, low):
        metrics = {"hgr": {"non_discriminative": [1, 1, 1, 1, high, low]}}
        result = made_up("toy_bottleneck", metrics, **TOYS[name])
        spread = {"hgr": {"non_discriminative": [0.1] * 6}}
        put(tmp_path / name, {**result, "spread": spread, "seed": [0, 1, 2, 3, 4]})

    asked = "HGR of R_ND, the last layer against the one below, embedded digits"
    assert claim(tmp_path, asked).missing == "toy_bottleneck of embedded digits is missing"
    digits("embedded digits", 0.5, 0.2)
    assert claim(tmp_path, asked).verdict == "lower"
    assert claim(tmp_path, asked).difference.interval == "-30.00 [-50.00, -10.00]"
    digits("embedded digits", 0.5, 0.4)
    assert claim(tmp_path, asked).verdict == "undecided"


def test_the_book_s_own_ablations_settle_claims_only_when_whole(tmp_path):
    """Each claim has its own runs: what GNDRP is said to do does not need GAP's."""
    copied = shutil.copytree(book_folder("results"), tmp_path / "results")
    words = [f"seeds: K = 20 against K = 5, {pooling}" for pooling in ("GNDRP", "GAP")]
    whole = claims(copied, *words)
    assert all(len(one.difference.by_seed) == 3 and one.difference.low for one in whole)
    steps = read(copied).published.of(ABLATIONS["k_and_pooling"])
    runs = steps.frame.set_index(["pooling", "iterations", "seed"])
    shutil.rmtree(runs.loc[("gap", 5, 3), "path"].removesuffix("/result.json"))
    again, lacking = claims(copied, *words)
    assert again == whole[0]
    assert lacking.verdict == "no result yet" and lacking.missing.endswith("seed 3")


def voc(folder, images=1464, classes=BY_CLASS, value=56.0, **parameters):
    """A result of voc_rib with VOC's settings, and what the table makes of it."""
    metrics = {"seed_miou": value, "cam_seed_miou": 48.0}
    result = made_up("voc_rib", metrics, **{**VOC, "seed": 0, **parameters})
    put(folder, {**result, "images": images, "per_class_iou": classes})
    board = read(folder.parent)
    return [str(cell) for cell in board.voc(RIB.voc)], notes(board)


def test_voc_is_empty_until_all_of_it_was_run(tmp_path):
    empty = scores_table(read(tmp_path))["ours on VOC"]
    assert (empty == "not run yet").sum() == len([row for row in ROWS if row.voc])
    for other, why in (
        ({"images": 100}, "scored on 100 images of train and 20 classes, not on the 1464"),
        ({"classes": {"background": 1.0, "cat": 2.0}}, "and 1 classes"),
        ({"images": 366, "shard": "0/4"}, ""),  # a part of a whole
    ):
        cells, said = voc(tmp_path / "part", **other)
        assert cells == [] and why in said and ("part/" in said) == bool(why)
    assert voc(tmp_path / "part")[0] == ["56.0, n = 1"]


def animals(folder, seed, cam=48.0, rib=52.0, **changes):
    """A result of voc_rib by the settings file of the five animals."""
    values = read_settings_file(book_folder("settings") / PHOTOGRAPHS)
    given = merged(for_chapter(values, "voc_rib", CHAPTERS), {"seed": seed, **changes})
    put(folder, made_up("voc_rib", {"seed_miou": rib, "cam_seed_miou": cam}, **given))


def test_photographs_have_a_column_of_their_own_once_somebody_ran_them(tmp_path):
    column, asked = "VOC 2012, five animals, 320 px", "seeds: RIB against the CAM"
    assert {*scores_table(read(tmp_path))[column]} == {"not run yet", "–"}
    assert "on photographs" not in "".join(one.asked for one in claims(tmp_path, asked))
    animals(tmp_path / "0", 0)
    assert str(read(tmp_path).photographs(RIB.voc)) == "52.0, n = 1"
    animals(tmp_path / "1", 1, rib=54.0)
    animals(tmp_path / "2", 2, rib=56.0)
    animals(tmp_path / "other", 2, rib=70.0, variant="released")
    assert str(read(tmp_path).photographs(RIB.voc)) == "54.0 ± 2.0, n = 3"
    assert claims(tmp_path, asked)[0].asked == f"{asked} on photographs"
    assert "54.0 ± 2.0, n = 3" not in list(scores_table(read(tmp_path))["ours on VOC"])
    values = read_settings_file(book_folder("settings") / PHOTOGRAPHS)
    for chapter, metric in (("voc_masks", "mask_miou"), ("voc_segmentation", "val_miou")):
        assert str(read(tmp_path).photographs((chapter, "rib_irn"))) == "not run yet"
        for seed in (0, 1, 2):
            given = for_chapter(values, chapter, CHAPTERS) | {"seed": seed}
            miou = {"cam_irn": 60.0, "rib_irn": 61.0 + seed}
            put(tmp_path / f"{chapter}_{seed}", made_up(chapter, {metric: miou}, **given))
        assert str(read(tmp_path).photographs((chapter, "rib_irn"))) == "62.0 ± 1.0, n = 3"
    for asked in ("masks after IRN", "networks on val, without CRF"):
        assert "on photographs" in claims(tmp_path, asked)[0].asked


def test_claims_on_photographs_are_those_that_have_a_result():
    published, photos = book_ablations(book_folder("results") / "voc_animals", BATCH)
    made = {one.asked: one for one in board_claims(Board(published, CHAPTERS), {}, photos)}
    pooling = made["seeds: GNDRP against GAP on photographs"]
    pairs = zip(*(photos["seeds"].of(number) for number in (0, 1)), strict=True)
    gaps = [gndrp.miou() - gap.miou() for gndrp, gap in pairs]
    assert pooling.difference.by_seed == pytest.approx(gaps) and pooling.paper == "higher"
    none, _ = book_ablations(book_folder("results") / "mnist_5_seeds", BATCH)
    empty = {name: none.of(each.ablation) for name, each in photos.items()}
    assert not [
        one for one in board_claims(Board(none, CHAPTERS), {}, empty) if "photo" in one.asked
    ]


def test_voc_with_other_settings_is_a_line_of_its_own(tmp_path):
    voc(tmp_path / "one")
    voc(tmp_path / "two", seed=1, value=58.0)
    cells, _ = voc(tmp_path / "three", variant="released", value=40.0)
    assert len(cells) == 2
    both = next(cell for cell in cells if "variant = paper" in cell)
    assert both.startswith("57.0 ± 1.4, n = 2")
    assert any("40.0, n = 1" in cell and "variant = released" in cell for cell in cells)


def test_the_book_s_own_results():
    board = read(book_folder("results"))
    assert not board.published.problems
    text = scores_table(board).to_string() + notes(board) + origins(board).to_string()
    assert str(book_folder("results")) not in text
    assert "voc_segmentation of seed" not in text
