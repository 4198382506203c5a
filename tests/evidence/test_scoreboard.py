"""The scoreboard: a number only from whole results of its own settings, the rest named."""

import json
import shutil

import pytest
from small_results import CHAPTERS, made_up, put

from ribnb.book.scoreboard_settings import ScoreboardSettings
from ribnb.core.settings import SettingsError
from ribnb.core.voc import CLASS_NAMES
from ribnb.evidence.reported import OTHERS, PAPER, reported, rerun
from ribnb.evidence.scoreboard import SCENES, TOYS, Board
from ribnb.evidence.scoreboard_claims import (
    FAILS,
    HOLDS,
    MIXED,
    UNTESTED,
    claims,
    status_of,
)
from ribnb.evidence.scoreboard_classes import iou_of_networks, iou_of_seeds
from ribnb.evidence.scoreboard_page import claim_list, notes, origins, scores
from ribnb.evidence.scoreboard_stages import STAGES
from ribnb.runs.ablations import read_ablation
from ribnb.runs.results import book_folder, write_result

ROWS = {row.key: row for stage in STAGES for row in stage.rows}
MASKS = {"cam": 50.0, "cam_crf": 52.0, "cam_irn": 60.0, "rib": 54.0, "rib_crf": 55.0}
VOC = {"dataset": "voc", "data_root": "data", "num_images": 0, "classifier": "theta_0"}
BY_CLASS = dict.fromkeys(("background", *CLASS_NAMES), 50.0)


def masks(seed, rib=0.0, irn=0.0, **parameters):
    """A made-up result of voc_masks."""
    miou = {**MASKS, "rib": 54.0 + rib, "rib_irn": 60.0 + irn, "rib_saliency": 78.0}
    recall = {"cam": 60.0, "cam_irn": 70.0, "rib": 70.0, "rib_irn": 70.0, "rib_saliency": 3.0}
    metrics = {"mask_miou": miou, "non_salient_recall": recall}
    return made_up("voc_masks", metrics, seed=seed, **{"num_images": 400, **parameters})


@pytest.fixture
def folder(tmp_path):
    """Three nets' masks; RIB is above the CAM by 3, 4 and 5 points, after IRN by 1, 0 and -1."""
    for place, seed in enumerate((3, 4, 5)):
        put(tmp_path / f"masks_{seed}", masks(seed, place - 1, 1 - place))
    return tmp_path


def word(folder, *parts):
    """Status and evidence of the claim whose text holds all ``parts``."""
    every = claims(Board.read(folder), {})
    found = [one for one in every if all(part in one.text for part in parts)]
    assert len(found) == 1
    return found[0].status, [line for line, _ in found[0].evidence]


def test_a_cell_is_mean_and_sample_deviation_over_the_nets(folder):
    cell = Board.read(folder).scenes(ROWS["seed rib"])
    assert cell.values == (53.0, 54.0, 55.0)
    assert str(cell) == "54.0 ± 1.0, n = 3"
    assert "54.0 ± 1.0, n = 3" in scores(Board.read(folder)).text


def edit(path):
    path.write_text(path.read_text().replace("54.0", "64.0"))


def halve(path):
    path.write_text(path.read_text()[:300])


def age(path):
    result = json.loads(path.read_text())
    del result["settings"]["irn"]["walk_radius"]
    write_result(path.parent, result)


def older(path):
    path.write_text(path.read_text().replace('"format": 3', '"format": 1'))


def remove(path):
    path.unlink()


@pytest.mark.parametrize(
    ("damage", "why"),
    [(edit, "edited"), (halve, "half-written"), (age, "is stale"), (older, "of format 1")],
)
def test_what_is_damaged_is_no_number_and_is_named(folder, damage, why):
    damage(folder / "masks_4" / "result.json")
    board = Board.read(folder)
    cell = board.scenes(ROWS["seed rib"])
    assert not cell.values
    assert str(cell) == "voc_masks of seed 4 is missing"
    said = notes(board)
    for text in (said.text, said.html):
        assert "masks_4/result.json" in text
        assert why in text
        assert "-p num_images=400 -p seed=4" in text
    for shown in (scores(board), origins(board), claim_list(board, claims(board, {}))):
        assert "54.0 ± " not in shown.text
        assert "64.0" not in shown.html
    assert word(folder, "Seeds of RIB score above", "0.20")[0] == UNTESTED


def test_what_is_missing_is_named_with_its_command(folder):
    remove(folder / "masks_4" / "result.json")
    said = notes(Board.read(folder)).text
    assert "ribnb run voc_masks -p num_images=400 -p seed=4" in said
    assert said.count("ribnb run voc_masks") == 1


def test_two_that_contradict_each_other_do_not_count(folder):
    put(folder / "again", masks(4, 7.0))
    board = Board.read(folder)
    assert "seed 4 is missing" in str(board.scenes(ROWS["seed rib"]))
    assert {"again", "masks_4"} == {path.split("/")[-2] for path in board.published.problems}
    put(folder / "again", masks(4))  # the same numbers twice
    assert Board.read(folder).scenes(ROWS["seed rib"]).values


def test_a_claim_holds_only_if_every_net_agrees(folder):
    assert word(folder, "Seeds of RIB score above", "0.20")[0] == HOLDS
    status, evidence = word(folder, "After IRN, pseudo masks")
    assert status == MIXED
    assert evidence == ["net 3: +1.0", "net 4: +0.0", "net 5: -1.0", "mean +0.0 points"]
    assert status_of([1, 2]) == UNTESTED
    assert status_of([-1, -2, -3]) == FAILS
    assert status_of([1, 2, 0]) == MIXED
    assert status_of([0.5, 0, -0.9], margin=1) == HOLDS
    assert status_of([-2, -3, -1.5], margin=1) == FAILS


def test_digits_are_judged_by_ranges_that_do_not_touch(tmp_path):
    def digits(name, high, low):
        metrics = {"hgr": {"non_discriminative": [1, 1, 1, 1, high, low]}}
        result = made_up("toy_bottleneck", metrics, **TOYS[name])
        put(tmp_path / name, {**result, "spread": {"hgr": {"non_discriminative": [0.1] * 6}}})

    digits("digits of MNIST", 0.8, 0.3)
    assert word(tmp_path, "The last layer")[0] == UNTESTED
    digits("embedded digits", 0.5, 0.2)
    status, evidence = word(tmp_path, "The last layer")
    assert status == HOLDS
    assert evidence[0] == "digits of MNIST: 0.80 ± 0.10 at G_5, 0.30 ± 0.10 at G_6"
    digits("embedded digits", 0.5, 0.4)
    assert word(tmp_path, "The last layer")[0] == MIXED


def test_in_the_wide_range_a_claim_has_numbers_and_rates_of_its_own(tmp_path):
    ablation = read_ablation(book_folder("settings") / "ablations" / "loss.yml", CHAPTERS)
    for number, point in enumerate(ablation.points):
        for seed in ablation.seeds:
            rib, rate = point.label["loss"] == "rib", point.label["learning_rate"]
            metrics = {
                "seed_miou": (54.0 if rib else 51.0) - rate,  # the lowest rate is best
                "wide_seed_miou": 50.0 + (seed - 4 if rib else 0) + rate,  # the highest is
            }
            values = {**point.parameters, "seed": seed}
            put(tmp_path / f"{number}_{seed}", made_up("voc_rib", metrics, **values))
    near, wide = (
        one
        for one in claims(Board.read(tmp_path), {"loss": ablation})
        if one.text.startswith("Seeds of L_RIB")
    )
    rates = sorted({point.label["learning_rate"] for point in ablation.points})
    for claim, status, each, rate in (
        (near, HOLDS, ("+3.0", "+3.0", "+3.0"), rates[0]),
        (wide, MIXED, ("-1.0", "+0.0", "+1.0"), rates[-1]),
    ):
        assert claim.status == status
        lines = [line for line, _ in claim.evidence]
        assert lines[:3] == [f"net {net}: {one}" for net, one in zip((3, 4, 5), each, strict=True)]
        assert lines[-1] == f"L_RIB at {rate:g}, L_BCE at {rate:g}"


def test_claims_about_seeds_are_told_for_either_range(tmp_path):
    about = "Seeds of RIB score above"
    assert word(tmp_path, about, "of 0.02 to 0.60")[0] == UNTESTED
    for seed, lead in ((3, 2.0), (4, 1.0), (5, -0.5)):
        found = masks(seed, 0, 0)
        found["metrics"]["mask_miou"] |= {"rib_wide": 50 + lead, "cam_wide": 50.0}
        put(tmp_path / str(seed), found)
    status, evidence = word(tmp_path, about, "of 0.02 to 0.60")
    assert status == MIXED
    assert evidence == ["net 3: +2.0", "net 4: +1.0", "net 5: -0.5", "mean +0.8 points"]
    assert word(tmp_path, about, "of 0.20 to 0.49")[0] == HOLDS
    papers = "the paper's variant"
    assert word(tmp_path, papers, "of 0.02 to 0.60")[0] == UNTESTED
    for seed, lead in ((3, 2.0), (4, 1.0), (5, 0.5)):
        metrics = {"wide_seed_miou": 50 + lead, "wide_cam_seed_miou": 50.0}
        result = made_up("voc_rib", metrics, **SCENES["voc_rib"], seed=seed)
        put(tmp_path / f"rib_{seed}", result)
    assert word(tmp_path, papers, "of 0.02 to 0.60")[0] == HOLDS
    assert word(tmp_path, papers, "of 0.20 to 0.49")[0] == UNTESTED


def test_ablations_settle_claims_only_when_whole(tmp_path):
    ablation = read_ablation(book_folder("settings") / "ablations" / "k_and_pooling.yml", CHAPTERS)
    for number, point in enumerate(ablation.points):
        for seed in ablation.seeds:
            steps, gap = point.label["iterations"], point.label["pooling"] == "gap"
            metrics = {
                "seed_miou": 60 - steps * (0.1 if gap else 0.05),
                "wide_seed_miou": 60 + steps * (0.1 if gap else -0.1),
            }
            values = {**point.parameters, "seed": seed}
            put(tmp_path / f"{number}_{seed}", made_up("voc_rib", metrics, **values))

    def words():
        board = Board.read(tmp_path)
        found = claims(board, {ablation.name: ablation})[-4:]
        assert not board.published.problems
        for one, thresholds in zip(found, 2 * ("0.20 to 0.49).", "0.02 to 0.60)."), strict=True):
            assert one.text.endswith(f"thresholds of {thresholds}")
        return [(one.status, one.evidence[0][0]) for one in found]

    gndrp, gap = [(HOLDS, "net 3: -0.8"), (FAILS, "net 3: -1.5")], [(HOLDS, "net 3: -1.5")]
    assert words() == [*gndrp, *gap, (FAILS, "net 3: +1.5")]
    numbers = {
        pooling: next(
            n
            for n, point in enumerate(ablation.points)
            if point.label == {"iterations": 5, "pooling": pooling}
        )
        for pooling in ("gndrp", "gap")
    }
    shutil.rmtree(tmp_path / f"{numbers['gap']}_3")
    (whole, _), _, (word, why), _ = words()
    assert (whole, word) == (HOLDS, UNTESTED)  # each claim by its own runs
    assert why == "the ablation k_and_pooling lacks iterations = 5, pooling = 'gap', seed 3"
    shutil.rmtree(tmp_path / f"{numbers['gap']}_4")
    assert words()[2][1].endswith(" and 1 more")


def voc(folder, images=1464, classes=BY_CLASS, value=56.0, **parameters):
    """A result of voc_rib with VOC's settings, and what the table makes of it."""
    metrics = {"seed_miou": value, "cam_seed_miou": 48.0}
    result = made_up("voc_rib", metrics, **{**VOC, "seed": 0, **parameters})
    put(folder, {**result, "images": images, "per_class_iou": classes})
    board = Board.read(folder.parent)
    return [str(cell) for cell in board.voc(ROWS["seed rib"])], notes(board).text


def test_voc_is_empty_until_all_of_it_was_run(tmp_path):
    assert scores(Board.read(tmp_path)).text.count("not run yet") == len(
        [row for row in ROWS.values() if row.voc]
    )
    cells, said = voc(tmp_path / "part", images=100)
    assert cells == []
    assert "scored on 100 of 1464 images" in said
    cells, said = voc(tmp_path / "part", classes={"background": 1.0, "cat": 2.0})
    assert cells == []
    assert "other classes" in said
    cells, said = voc(tmp_path / "part", images=366, shard="0/4")
    assert cells == []
    assert "part" not in said  # of a whole
    cells, said = voc(tmp_path / "part")
    assert cells == ["56.0, n = 1"]


def test_voc_with_other_settings_is_a_line_of_its_own(tmp_path):
    voc(tmp_path / "one")
    voc(tmp_path / "two", seed=1, value=58.0)
    cells, _ = voc(tmp_path / "three", variant="paper", value=40.0)
    assert len(cells) == 2
    both = next(cell for cell in cells if "variant = released" in cell)
    assert both.startswith("57.0 ± 1.4, n = 2")
    assert any("40.0, n = 1" in cell and "variant = paper" in cell for cell in cells)


def test_reported_numbers_belong_to_rows(folder):
    assert {one.row for one in (*PAPER, *OTHERS)} <= ROWS.keys()
    assert len({one.row for one in PAPER}) == len(PAPER)
    assert reported("irn rib").value == 70.6
    assert rerun("irn rib").link.endswith("/issues/5")
    assert reported("val crf rib") is None  # the paper's post-processing is not known
    html = scores(Board.read(folder)).html
    assert all(str(one.value) in html for one in (*PAPER, *OTHERS))


def test_the_book_s_own_results(tmp_path):
    board = Board.read(book_folder("results"))
    text, html = scores(board).text, scores(board)._repr_html_()
    assert not board.published.problems
    assert 'href="results/' in html
    assert "<script" not in html
    assert str(book_folder("results")) not in html + text + notes(board).html
    copied = shutil.copytree(book_folder("results"), tmp_path / "results")
    path = next(copied.rglob("voc_segmentation*/result.json"))
    path.write_text(path.read_text()[:-40])
    damaged = Board.read(copied)
    assert "voc_segmentation of seed" in scores(damaged).text
    with pytest.raises(LookupError, match=r"voc_segmentation of seed \d is missing"):
        iou_of_networks(damaged)
    assert set(iou_of_networks(board)) == {"CAM", "RIB"}


def test_seeds_by_class_need_the_scores_of_images(folder):
    for seed in (3, 4, 5):
        put(folder / f"rib_{seed}", made_up(variant="paper", num_images=100, seed=seed))
    with pytest.raises(LookupError, match=r"seed 3: .* holds no image_scores\.npz"):
        iou_of_seeds(Board.read(folder))


def test_a_folder_that_is_none_is_refused(tmp_path):
    assert ScoreboardSettings(results=str(tmp_path)).folder == tmp_path
    assert ScoreboardSettings().folder == book_folder("results")
    with pytest.raises(SettingsError, match="is no folder"):
        ScoreboardSettings(results=str(tmp_path / "none"))
