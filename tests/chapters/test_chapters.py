"""The chapters as programs: settings files, what they write out, real digits, bad input."""

import ast
import copy
import re

import nbformat
import pytest
import torch
import yaml
from chapters import Book
from conftest import ROOT
from small_results import NEEDED
from split_runs import code_cells, run_chapter

from ribnb.book.chapters import CHAPTERS as SETTINGS
from ribnb.core.parameters import flat, merged, nested
from ribnb.core.settings import SECTIONS, for_chapter, read_settings_file
from ribnb.method import RIBSettings, adapt
from ribnb.method.bottleneck import gradient_maps
from ribnb.method.losses import rib_loss
from ribnb.method.pooling import gndrp, normalize
from ribnb.nets.classifier import load_classifier
from ribnb.nets.digit_net import DigitNet
from ribnb.nets.weights import CHECKPOINTS

BOOK = Book()
REAL = ROOT.parent / "shared" / "data"

# Settings files ---------------------------------------------------------------------------


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
        needed = {**NEEDED.get(name, {})}
        if given[name].get("net", {}).get("weights") == "theta_0":
            needed["net.classifier"] = "classifier.safetensors"
        settings = flat(SETTINGS[name](**merged(nested(needed), given[name])).as_dict())
        assert {key: settings[key] for key in flat(given[name])} == flat(given[name])


def test_the_parameters_to_change_on_colab_are_those_of_its_file():
    text = "".join(cell.source for cell in nbformat.read(BOOK.notebook("running"), 4).cells)
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    values, after = (
        {name: yaml.safe_load(value) for name, value in re.findall(r"(\w+): \w+ = (.+)", block)}
        for block in blocks
        if "output_dir" in block
    )
    in_file = read_settings_file(ROOT / "book" / "settings" / "voc_colab.yml")
    assert after["rib"] == in_file.pop("rib")  # of the chapter after it
    assert {"variant": after["variant"]} == in_file.pop(SECTIONS)["voc_rib"]
    assert values.pop("output_dir").startswith("/content/drive/")
    assert values.pop("data_root") == f"/content/{in_file.pop('data_root')}"
    assert values == in_file


# What a chapter writes out equals the module ----------------------------------------------


def written(chapter: str, name: str, **given):
    """A function as its chapter defines it first."""
    sources = (cell.source for cell in code_cells(BOOK.notebook(chapter)))
    tree = ast.parse(next(source for source in sources if f"def {name}(" in source))
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    namespace = {"torch": torch, "copy": copy, "F": torch.nn.functional, **given}
    exec(compile(tree, chapter, "exec"), namespace)
    return namespace[name]


def test_the_loss_written_in_the_chapter_is_the_modules():
    mine, generator = written("rib_loss", "my_rib_loss"), torch.Generator().manual_seed(1)
    for margin in (0.5, 8.0, 600.0):
        logits = (20 * torch.randn(32, 20, generator=generator)).requires_grad_(True)
        labels = (torch.rand(32, 20, generator=generator) < 0.3).float()
        losses = mine(logits, labels, margin), rib_loss(logits, labels, margin)
        torch.testing.assert_close(*losses)
        torch.testing.assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in losses))


def test_the_gradient_map_written_in_the_chapter_is_the_modules():
    last_gradient_map = written("toy_bottleneck", "last_gradient_map")
    net, images = DigitNet(num_classes=3), torch.rand(4, 1, 20, 20)
    targets = torch.tensor([2, 0, 1, 2])
    maps = gradient_maps(net, images, targets)[-1]
    for image, target, expected in zip(images, targets, maps, strict=True):
        torch.testing.assert_close(last_gradient_map(net, image, target), expected)


def test_gndrp_as_written_in_its_chapter_is_the_modules():
    my_gndrp = written("cam_and_gndrp", "my_gndrp")
    features = torch.randn(3, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    cam = normalize(features)
    for threshold in (0.0, 0.4, 1.0):
        expected = gndrp(features, cam, threshold)
        torch.testing.assert_close(my_gndrp(features, cam, threshold), expected)


def test_the_loop_as_written_in_its_chapter_is_adapt():
    given = {"normalize": normalize, "gndrp": gndrp, "rib_loss": rib_loss}
    model = load_classifier(CHECKPOINTS / "scenes_3.safetensors")
    how = RIBSettings.scenes(iterations=3, learning_rate=1e-3)
    view = torch.randn(1, 3, 48, 40, generator=torch.Generator().manual_seed(0))
    views, labels = torch.cat([view, view.flip(-1)]), torch.tensor([1, 0, 0, 1, 0, 0])
    nobody = (torch.zeros(0, 3, 1, 1), torch.zeros(0, 6))
    expected = adapt(model, [views], labels, [nobody] * 3, how).high_res
    by_hand = written("rib", "adapt_by_hand", **given)(model, views, labels, how)
    torch.testing.assert_close(by_hand, expected, rtol=0, atol=1e-4)


# The claims, on real digits ---------------------------------------------------------------


@pytest.mark.skipif(not (REAL / "MNIST").is_dir(), reason="no ../shared/data/MNIST beside this")
def test_on_mnist_the_rib_loss_brings_the_shape_back():
    """That the last layer drops it is in the book's results of MNIST."""
    given = {"digits": "mnist", "data_root": str(REAL), "seeds": 1, "num_images": 1000}
    run = run_chapter("rib_loss", None, **given, num_adapted=40, iterations=6)  # asserts it
    assert len(run["metrics"]["rib"]["background"]) == 7
