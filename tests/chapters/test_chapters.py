"""The chapters as programs: other parameters, bad input, and real digits."""

import ast
import copy
import json
import re
import textwrap
from pathlib import Path

import nbformat
import papermill
import pytest
import torch
import yaml
from chapters import Book
from conftest import ROOT

from ribnb.book.chapters import CHAPTERS as SETTINGS
from ribnb.book.scenes import TRAINED
from ribnb.core.settings import SettingsError, flat, merged, nested
from ribnb.core.settings_files import SECTIONS, for_chapter, read_settings_file
from ribnb.data.digits import REGIONS
from ribnb.method import RIBSettings, adapt
from ribnb.method.bottleneck import gradient_maps
from ribnb.method.cam import normalize
from ribnb.method.losses import rib_loss
from ribnb.method.pooling import gndrp
from ribnb.nets.classifier import load_classifier
from ribnb.nets.digit_net import DigitNet
from ribnb.nets.weights import CHECKPOINTS
from ribnb.runs.execution import execute_chapter

BOOK = Book()
REAL = ROOT.parent / "shared" / "data"
real_digits = pytest.mark.skipif(
    not (REAL / "MNIST").is_dir(), reason="no ../shared/data/MNIST beside this"
)


def code_cells(notebook: Path) -> list:
    cells = nbformat.read(notebook, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code"]


def cell_with(chapter: str, text: str) -> str:
    """The source of the first code cell that holds a text."""
    return next(cell.source for cell in code_cells(BOOK.notebook(chapter)) if text in cell.source)


# The set-up of every chapter --------------------------------------------------------------


@pytest.mark.parametrize("chapter", BOOK.chapters())
def test_the_first_cell_installs_the_package_from_the_address_of_the_project(chapter):
    address = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
    first = code_cells(BOOK.notebook(chapter))[0].source
    assert re.search(rf'"ribnb(\[crf\])? @ git\+{re.escape(address)}"', first)
    assert first.count("http") == 1


@pytest.mark.parametrize("chapter", SETTINGS)
def test_the_parameters_are_the_settings_with_their_defaults(chapter):
    (source,) = (
        cell.source
        for cell in code_cells(BOOK.notebook(chapter))
        if "parameters" in cell.metadata.get("tags", [])
    )
    in_cell = {
        node.target.id: (ast.unparse(node.annotation), ast.literal_eval(node.value))
        for node in ast.parse(source).body
    }
    assert len(in_cell) == len(source.splitlines()) <= 15
    fields = SETTINGS[chapter].model_fields.items()
    assert in_cell == {name: in_a_cell(field.default) for name, field in fields}


def in_a_cell(value):
    """Type and default as a parameters cell has them; a group is a dictionary of changes."""
    value = list(value) if isinstance(value, tuple) else value
    return type(value).__name__, value


@pytest.mark.parametrize("chapter", SETTINGS)
def test_papermill_explains_every_parameter(chapter):
    explained = papermill.inspect_notebook(str(BOOK.notebook(chapter)))
    assert explained.keys() == SETTINGS[chapter].model_fields.keys()
    for name, parameter in explained.items():
        assert len(parameter["help"]) > 5, name
        kinds = ("bool", "dict", "float", "int", "list", "str")
        assert parameter["inferred_type_name"] in kinds, name


NEEDED_ON_VOC = {  # no file of settings can know where an earlier chapter left its files
    "voc_rib": {"classifier": "classifier.safetensors"},
    "voc_masks": {"maps_run": "runs/rib"},
    "voc_segmentation": {"masks": "runs/masks"},
}


@pytest.mark.parametrize("file", sorted((ROOT / "book" / "settings").glob("*.yml")), ids=str)
def test_a_settings_file_is_for_some_chapter(file):
    content = read_settings_file(file)
    sections = {*content.get(SECTIONS, {})}
    given = {name: for_chapter(content, name, SETTINGS) for name in SETTINGS}
    served = {
        name
        for name, values in given.items()
        if values.keys() <= SETTINGS[name].model_fields.keys()
    }
    assert served and sections <= served
    assert {"voc_classifier", "voc_rib"} <= served or content.get("dataset") != "voc"
    for name in served:
        needed = {**NEEDED_ON_VOC.get(name, {})}
        if given[name].get("net", {}).get("weights") == "theta_0":
            needed["net.classifier"] = "classifier.safetensors"
        settings = flat(SETTINGS[name](**merged(given[name], nested(needed))).as_dict())
        assert {key: settings[key] for key in flat(given[name])} == flat(given[name])


def test_the_parameters_to_change_on_colab_are_those_of_its_file():
    text = next(
        cell.source
        for cell in nbformat.read(BOOK.notebook("running"), as_version=4).cells
        if "## Colab" in cell.source
    )
    blocks = [textwrap.dedent(block) for block in re.findall(r"```python\n(.*?)```", text, re.S)]
    (block,) = (block for block in blocks if "num_images" in block)
    shown = {
        node.target.id: (ast.unparse(node.annotation), ast.literal_eval(node.value))
        for node in ast.parse(block).body
    }
    values = {name: value for name, (_, value) in shown.items()}
    in_file = read_settings_file(ROOT / "book" / "settings" / "voc_colab.yml")
    in_file.pop("rib")  # of the chapter after it
    assert values.pop("output_dir").startswith("/content/drive/")
    assert values.pop("data_root") == f"/content/{in_file.pop('data_root')}"
    assert values == in_file


# What a chapter writes out equals the module ----------------------------------------------


def test_the_loss_written_in_the_chapter_is_the_modules():
    written = {}
    exec(cell_with("rib_loss", "def my_rib_loss"), {"torch": torch}, written)
    generator = torch.Generator().manual_seed(1)
    for margin in (0.5, 8.0, 600.0):
        logits = (20 * torch.randn(32, 20, generator=generator)).requires_grad_(True)
        labels = (torch.rand(32, 20, generator=generator) < 0.3).float()
        mine, theirs = (
            written["my_rib_loss"](logits, labels, margin),
            rib_loss(logits, labels, margin),
        )
        torch.testing.assert_close(mine, theirs)
        gradients = (torch.autograd.grad(loss, logits)[0] for loss in (mine, theirs))
        torch.testing.assert_close(*gradients)


def test_the_gradient_map_written_in_the_chapter_is_the_modules():
    written = {}
    exec(cell_with("toy_bottleneck", "def last_gradient_map"), {"torch": torch}, written)
    net, images = DigitNet(num_classes=3), torch.rand(4, 1, 20, 20)
    targets = torch.tensor([2, 0, 1, 2])
    maps = gradient_maps(net, images, targets)[-1]
    for image, target, expected in zip(images, targets, maps, strict=True):
        found = written["last_gradient_map"](net, image, target)
        torch.testing.assert_close(found, expected)


def test_gndrp_as_written_in_its_chapter_is_the_module_s():
    written: dict = {}
    source = cell_with("cam_and_gndrp", "def my_gndrp").split("\n\n\n")[0]
    exec(source, {"torch": torch}, written)
    features = torch.randn(3, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    cam = normalize(features)
    for threshold in (0.0, 0.4, 1.0):
        found = written["my_gndrp"](features, cam, threshold)
        torch.testing.assert_close(found, gndrp(features, cam, threshold))


def test_the_loop_as_written_in_its_chapter_is_adapt():
    written = {
        "torch": torch,
        "copy": copy,
        "F": torch.nn.functional,
        "normalize": normalize,
        "gndrp": gndrp,
        "rib_loss": rib_loss,
    }
    exec(cell_with("rib", "def adapt_by_hand"), written)
    model = load_classifier(CHECKPOINTS / f"scenes_{TRAINED[0]}.safetensors")
    how = RIBSettings.scenes(iterations=3, learning_rate=1e-3)
    view = torch.randn(1, 3, 48, 40, generator=torch.Generator().manual_seed(0))
    views, labels = torch.cat([view, view.flip(-1)]), torch.tensor([1, 0, 0, 1, 0, 0])
    nobody = (torch.zeros(0, 3, 1, 1), torch.zeros(0, 6))
    found = adapt(model, [views], labels, [nobody] * 3, how)
    by_hand = written["adapt_by_hand"](model, views, labels, how)
    torch.testing.assert_close(by_hand, found.high_res, rtol=0, atol=1e-4)


# The claims, on real digits ---------------------------------------------------------------


@pytest.fixture
def real_run(tmp_path, monkeypatch):
    """Run a chapter on MNIST's files and give its metrics."""

    def run(chapter: str, **parameters) -> dict:
        monkeypatch.chdir(tmp_path)
        given = {"digits": "mnist", "data_root": str(REAL), "output_dir": str(tmp_path / "run")}
        execute_chapter(BOOK.notebook(chapter), tmp_path / "out.ipynb", given | parameters)
        return json.loads((tmp_path / "run" / "result.json").read_text())["metrics"]

    return run


@real_digits
def test_on_mnist_the_last_layer_drops_the_shape(real_run):
    metrics = real_run("toy_bottleneck", seeds=2)
    digit, shape, background = (metrics["hgr"][region] for region in REGIONS)
    assert metrics["accuracy"] > 0.95
    assert shape[4] - shape[5] >= 0.2
    assert shape[5] < digit[5]
    assert max(background) < 0.1


@real_digits
def test_on_mnist_the_rib_loss_brings_the_shape_back(real_run):
    metrics = real_run("rib_loss", seeds=2, num_adapted=15, iterations=4)

    def best_rise(loss: str) -> float:
        shape, background = (metrics[loss][region] for region in REGIONS[1:])
        return max(s for s, b in zip(shape, background, strict=True) if b < 0.1) - shape[0]

    assert len(metrics["rib"]["background"]) == 5
    assert best_rise("rib") >= 0.05
    assert best_rise("rib") > best_rise("bce")


# What a chapter refuses -------------------------------------------------------------------


def test_an_unknown_name_is_refused_before_a_kernel_starts(tmp_path):
    output = tmp_path / "out" / "out.ipynb"
    message = "rib_loss.ipynb has no parameter 'iteration'; did you mean 'iterations'"
    with pytest.raises(SettingsError, match=message):
        execute_chapter(BOOK.notebook("rib_loss"), output, {"iteration": 3})
    assert list(tmp_path.iterdir()) == []


def refused_by(chapter: str, folder: Path, monkeypatch, **parameters) -> str:
    """Under plain papermill: the error, after making sure that no cell trained a net before it."""
    monkeypatch.chdir(folder)
    output = folder / "out.ipynb"
    with pytest.raises(papermill.PapermillExecutionError) as caught:
        papermill.execute_notebook(
            str(BOOK.notebook(chapter)), str(output), parameters=parameters, progress_bar=False
        )
    training = [cell for cell in code_cells(output) if "train_digit_net(" in cell.source]
    assert training
    assert not any(cell.metadata.papermill.status == "completed" for cell in training)
    return f"{caught.value.ename}: {caught.value.evalue}"


@pytest.mark.parametrize(
    ("chapter", "name", "nearest"),
    [("toy_bottleneck", "seed", "seeds"), ("rib_loss", "learning_rat", "learning_rate")],
)
def test_the_chapter_itself_refuses_an_unknown_name(tmp_path, monkeypatch, chapter, name, nearest):
    """papermill only warns of it and would go on with the defaults."""
    error = refused_by(chapter, tmp_path, monkeypatch, **{name: 1})
    message = f"SettingsError: this chapter has no parameter '{name}'; did you mean '{nearest}'?"
    assert error.startswith(message)


def test_an_output_folder_that_cannot_be_written_is_said_before_training(tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("a file")
    error = refused_by("toy_bottleneck", tmp_path, monkeypatch, output_dir="taken/run")
    assert "cannot write to output_dir = 'taken/run'" in error


def test_missing_digits_are_said_before_training_with_the_command(tmp_path, monkeypatch):
    error = refused_by("rib_loss", tmp_path, monkeypatch, digits="mnist", data_root="nowhere")
    folder = Path("nowhere") / "MNIST" / "raw"
    assert error.startswith(f"FileNotFoundError: no MNIST in {folder}")
    assert "python data_scripts/get_mnist.py nowhere" in error
