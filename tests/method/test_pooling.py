"""GAP and GNDRP: worked by hand, at a tie, with nothing left, and what must not leak."""

import math

import pytest
import torch

from ribnb.method.pooling import VARIANTS, gap, gndrp, normalize

# A head at the top left that the CAM has found, and a body below it that it has not.
CAM = torch.tensor(
    [[1.0, 0.8, 0.1, 0.0], [0.9, 0.5, 0.3, 0.0], [0.2, 0.4, 0.4, 0.1], [0.0, 0.2, 0.2, 0.0]]
)[None, None]
FEATURES = torch.tensor(
    [[9.0, 8.0, 1.0, 0.0], [8.0, 5.0, 3.0, -1.0], [2.0, 6.0, 4.0, 1.0], [0.0, 2.0, 3.0, -2.0]]
)[None, None]


@pytest.fixture
def features() -> torch.Tensor:
    return torch.randn(3, 5, 7, 4, generator=torch.Generator().manual_seed(0))


def test_worked_by_hand():
    """Up to tau = 0.4 are twelve of the sixteen positions, with the sum 19; two at it: 6 and 4."""
    assert gap(FEATURES).tolist() == [[49 / 16]]
    assert gndrp(FEATURES, CAM, 0.4, "paper").item() == pytest.approx(19 / 12)
    assert gndrp(FEATURES, CAM, 0.45, "released").item() == pytest.approx(19 / 16)
    assert gndrp(FEATURES, CAM, 0.4, "released").item() == pytest.approx((19 - 10) / 16)


def test_with_tau_1_the_papers_is_gap(features):
    cam = normalize(features)
    assert cam.max() == 1
    torch.testing.assert_close(gndrp(features, cam, 1, "paper"), gap(features))
    pooled, own = features.clone().requires_grad_(), features.clone().requires_grad_()
    gndrp(pooled, cam, 1, "paper").square().sum().backward()
    gap(own).square().sum().backward()
    torch.testing.assert_close(pooled.grad, own.grad)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_cam_computed_from_the_features_passes_no_gradient_on(features, variant):
    features.requires_grad_()
    cam = features.relu() / features.amax(dim=(2, 3), keepdim=True)
    gndrp(features, cam, 0.4, variant).sum().backward()
    count = (cam <= 0.4).sum(dim=(2, 3), keepdim=True) if variant == "paper" else 7 * 4
    torch.testing.assert_close(features.grad, (cam <= 0.4) / count)


@pytest.mark.parametrize("variant", VARIANTS)
def test_with_nothing_left_it_is_0_without_gradient(variant):
    """The second channel's CAM is high everywhere; the first one's is not."""
    features = torch.ones(2, 2, 3, 3, requires_grad=True)
    cam = torch.zeros(2, 2, 3, 3)
    cam[:, 1] = 0.9
    pooled = gndrp(features, cam, 0.4, variant)
    assert pooled.tolist() == [[1, 0], [1, 0]]
    pooled.sum().backward()
    assert features.grad.isfinite().all()
    assert features.grad[:, 1].tolist() == torch.zeros(2, 3, 3).tolist()


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_stray_value_where_the_cam_is_high_does_not_leak(variant):
    for stray in (math.nan, math.inf):
        features = FEATURES.clone()
        features[0, 0, 0, 0] = stray
        features.requires_grad_()
        pooled = gndrp(features, CAM, 0.4, variant)
        pooled.backward()
        assert pooled == gndrp(FEATURES, CAM, 0.4, variant)
        assert features.grad.isfinite().all()


def test_refuses_shapes_that_do_not_match_and_a_threshold_outside_0_and_1():
    for shape, cam in (((2, 3, 4, 4), (2, 2, 4, 4)), ((3, 4, 4), (3, 4, 4))):
        with pytest.raises(ValueError, match=r"\(B, C, h, w\).*got \(.*\) and \("):
            gndrp(torch.zeros(shape), torch.zeros(cam))
    with pytest.raises(ValueError, match=r"threshold must lie in \[0, 1\]; got nan"):
        gndrp(FEATURES, CAM, math.nan)
