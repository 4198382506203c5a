"""Dense CRF: against its formula written out, at colour edges, and what it refuses."""

import sys

import numpy as np
import pytest
import torch

from ribnb.masks.crf import CRFSettings, crf_available, crf_mask, crf_probabilities

needs_crf = pytest.mark.skipif(
    not crf_available(), reason="no pydensecrf2 here: `pip install -e .[crf]` compiles it"
)


def noisy_edge(height, width, seed=0):
    """An image of two colours side by side, and probabilities that half know the edge."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 60.0)
    image[:, width // 2 :] = (200, 140, 90)
    image = (image + rng.normal(0, 8, image.shape)).clip(0, 255).astype(np.uint8)
    probabilities = rng.dirichlet((1, 1, 1), (height, width)).transpose(2, 0, 1)
    probabilities[0, :, : width // 2] += 0.5
    return image, (probabilities / probabilities.sum(axis=0)).astype(np.float32)


def softmax(logits):
    return torch.softmax(torch.tensor(logits), dim=0).numpy()


def exact_mean_field(image, probabilities, settings):
    """Every pixel with every pixel, kernels divided by the roots of their row sums."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].reshape(2, -1).astype(float)
    colours = image.reshape(-1, 3).astype(float)
    apart = (x - x[:, None]) ** 2 + (y - y[:, None]) ** 2
    unlike = ((colours - colours[:, None]) ** 2).sum(axis=2)
    kernels = (
        (settings.smooth_weight, np.exp(-apart / (2 * settings.smooth_width**2))),
        (settings.near_weight, np.exp(-apart / (2 * settings.near_width**2)
                                      - unlike / (2 * settings.colour_width**2))),
    )  # fmt: skip
    strength = 0
    for weight, kernel in kernels:
        root = np.sqrt(kernel.sum(axis=1))
        strength = strength + weight * kernel / root / root[:, None]
    evidence = np.log(probabilities.astype(float)).reshape(len(probabilities), -1)
    field = softmax(evidence)
    for _ in range(settings.iterations):
        field = softmax(evidence + field @ strength)
    return field.reshape(probabilities.shape)


ONE_STEP = {"iterations": 1, "near_width": 10, "colour_width": 40}


@needs_crf
@pytest.mark.parametrize(
    ("changes", "mean", "largest"),
    [
        ({"iterations": 0}, 1e-6, 1e-5),
        ({"iterations": 1, "near_weight": 0}, 0.004, 0.03),
        ({"iterations": 10, "near_weight": 0}, 0.005, 0.04),
        ({**ONE_STEP, "smooth_weight": 0}, 0.006, 0.04),
        (ONE_STEP, 0.006, 0.04),
    ],
)
@pytest.mark.parametrize("size", [(24, 30), (17, 9)])
def test_is_the_mean_field_within_what_the_lattice_rounds(size, changes, mean, largest):
    image, probabilities = noisy_edge(*size)
    settings = CRFSettings(**changes)
    found = crf_probabilities(image, probabilities, settings)
    assert found.shape == probabilities.shape and found.dtype == np.float32
    exact = exact_mean_field(image, probabilities, settings)
    off = np.abs(found - exact)
    assert off.mean() < mean and off.max() < largest
    assert np.allclose(found.sum(axis=0), 1, atol=1e-5)


def square(size=(48, 61), colour=(220, 60, 40)):
    """An image of a square in a colour of its own, and the square's mask, class 4."""
    image, truth = np.full((*size, 3), 90, np.uint8), np.zeros(size, np.uint8)
    image[12:36, 16:44], truth[12:36, 16:44] = colour, 5
    return image, truth


@needs_crf
@pytest.mark.parametrize("colour", [(220, 60, 40), (60, 90, 90)])
def test_a_mask_that_is_off_snaps_to_the_colour_edge(colour):
    image, truth = square(colour=colour)
    seed = np.roll(truth, (4, -5), axis=(0, 1))
    assert (seed != truth).mean() > 0.1
    assert np.array_equal(crf_mask(image, seed), truth)
    # without the appearance kernel it does not
    assert (crf_mask(image, seed, settings=CRFSettings(near_weight=0)) != truth).mean() > 0.08


@needs_crf
def test_only_the_values_given_are_chosen():
    image, truth = square()
    assert set(np.unique(crf_mask(image, truth, [9, 5, 0]))) == {0, 5}
    assert not crf_mask(image, np.zeros_like(truth), range(21)).any()
    only = np.where(truth == 5, np.uint8(5), np.uint8(255))
    assert np.array_equal(crf_mask(image, only, [5]), only)  # with one label nothing is refined


@needs_crf
def test_a_label_has_its_confidence_and_the_others_share_the_rest_equally():
    image, probabilities = noisy_edge(30, 40)
    mask = probabilities.argmax(axis=0).astype(np.uint8)
    settings = CRFSettings(confidence=0.6, iterations=3, near_weight=0)
    given = np.where(mask == np.arange(3)[:, None, None], 0.6, 0.2)
    right = crf_probabilities(image, given, settings).argmax(axis=0)
    assert np.array_equal(crf_mask(image, mask, range(3), settings), right)
    assert (right != mask).any()


IMAGE, MASK = np.zeros((6, 8, 3), np.uint8), np.zeros((6, 8), np.uint8)


@needs_crf
def test_refuses_sizes_that_do_not_fit_and_values_that_are_not_finite():
    with pytest.raises(ValueError, match=r"\(6, 8, 3\); it must be \(5, 8, 3\)"):
        crf_mask(IMAGE, MASK[:5], [0, 1])
    with pytest.raises(ValueError, match="not finite"):
        crf_probabilities(IMAGE, np.full((2, 6, 8), np.nan, np.float32))


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    assert not crf_available()
    with pytest.raises(ImportError, match=r'(?s)"ribnb\[crf\]".*C\+\+ compiler.*g\+\+'):
        crf_mask(IMAGE, MASK)
