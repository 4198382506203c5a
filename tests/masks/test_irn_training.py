"""IRN's losses by hand, and its training: kills, other folders, images that cannot be used."""

import math

import numpy as np
import pytest
import torch
from small_masks import write_labels_of
from small_split import Noise
from small_split import net as classifier

from ribnb.core.voc import write_mask
from ribnb.masks.irn import IRNSettings
from ribnb.masks.irn_net import IRN
from ribnb.masks.irn_training import affinity_loss, at_positions, train_irn
from ribnb.masks.walk import PairKinds

SMALL = {
    "crop_size": 32,
    "batch_size": 4,
    "epochs": 3,
    "radius": 3,
    "learning_rate": 0.1,
    "momentum": 0.9,
}


def settings(**changes):
    return IRNSettings(**{**SMALL, **changes})


# Losses -------------------------------------------------------------------------------------


def test_the_affinity_loss_balances_three_kinds_of_pairs():
    affinity = torch.tensor([0.5, 0.8, 0.9, 0.1, 0.2, 0.3]).view(1, 1, 1, 6)

    def kind(*which):
        return torch.tensor([place in which for place in range(6)]).view(1, 1, 1, 6)

    loss = affinity_loss(affinity, PairKinds(kind(0), kind(1, 2), kind(3, 4)))
    foreground = -math.log(0.5)
    background = -(math.log(0.8) + math.log(0.9)) / 2
    different = -(math.log(0.9) + math.log(0.8)) / 2
    expected = foreground / 2 + background / 2 + different
    assert loss.item() == pytest.approx(expected, abs=1e-4)


def test_the_affinity_loss_is_finite_at_the_ends_and_without_pairs():
    affinity = torch.tensor([[[[0.0, 1.0]]]], requires_grad=True)
    nothing = torch.zeros(1, 1, 1, 2, dtype=torch.bool)
    loss = affinity_loss(affinity, PairKinds(~nothing, nothing, ~nothing))
    loss.backward()
    assert math.isfinite(loss.item()) and affinity.grad.isfinite().all()
    assert affinity_loss(affinity, PairKinds(nothing, nothing, nothing)).item() == 0


def test_labels_at_positions_are_those_of_the_nearest_pixels():
    labels = torch.arange(36, dtype=torch.uint8).view(1, 6, 6)
    assert at_positions(labels, (3, 3))[0].tolist() == [[7, 9, 11], [19, 21, 23], [31, 33, 35]]
    assert at_positions(labels, (6, 6)).equal(labels)
    assert at_positions(labels, (2, 3)).shape == (1, 2, 3)


# Training -----------------------------------------------------------------------------------


@pytest.fixture
def labelled(tmp_path):
    images = Noise()
    return images, write_labels_of(images, tmp_path / "labels")


def trained(labelled, folder=None, net=None, **changes):
    return train_irn(net or IRN(classifier()), *labelled, settings(**changes), folder)


def test_training_lowers_the_loss(labelled):
    training = trained(labelled, epochs=6)
    assert training.history[-1] < 0.98 * training.history[0]
    assert not training.net.branch.training


def test_other_labels_trunks_and_first_weights_are_refused(labelled, tmp_path):
    trained(labelled, tmp_path / "net", epochs=1)
    folder = write_labels_of(labelled[0], tmp_path / "other", made="otherwise")
    with pytest.raises(ValueError, match="labels is '"):
        trained((labelled[0], folder), tmp_path / "net", epochs=1)
    with pytest.raises(ValueError, match="trunk is '"):
        trained(labelled, tmp_path / "net", IRN(classifier(seed=1)), epochs=1)
    with pytest.raises(ValueError, match="sum of the initial weights is"):
        trained(labelled, tmp_path / "net", IRN(classifier(), seed=1), epochs=1)
    # what belongs to the labels or to the walk does not matter here
    assert trained(labelled, tmp_path / "net", epochs=1, beta=3, walk_background=0.5).loaded


def test_images_without_usable_labels_are_left_out_by_name(labelled, tmp_path):
    images, folder = labelled
    (folder / "n001.png").unlink()
    (folder / "n002.png").write_bytes(b"half")
    write_mask(folder / "n005.png", np.full((24, 32), 255, np.uint8))
    write_mask(folder / "n006.png", np.full((24, 32), 9, np.uint8))
    found = trained((images, folder), epochs=1)
    assert found.skipped.keys() == {"n001", "n002", "n005", "n006"}
    assert "there is no mask" in found.skipped["n001"]
    assert "is not a whole mask" in found.skipped["n002"]
    assert "no two of its pixels have a confident label" in found.skipped["n005"]
    assert "holds [9], but there are 3 classes" in found.skipped["n006"]


def test_labels_of_another_split_or_no_labels_are_refused(labelled, tmp_path):
    others = Noise(labels=[[1, 0, 0]] * 9)
    with pytest.raises(ValueError, match="labels of other images than the 9 here"):
        trained((others, labelled[1]))
    with pytest.raises(FileNotFoundError, match="is no folder of masks"):
        trained((labelled[0], tmp_path))
