"""IRN's losses by hand, and its training: kills, other folders, images that cannot be used."""

import math

import numpy as np
import pytest
import torch
from irn_split import write_labels_of
from small_split import Noise
from small_split import net as classifier

from ribnb.masks import irn_training
from ribnb.masks.irn_net import IRN
from ribnb.masks.irn_settings import IRNSettings
from ribnb.masks.irn_training import affinity_loss, at_positions, displacement_losses, train_irn
from ribnb.masks.irn_views import LabelledViews, stack_views
from ribnb.masks.walk import PairKinds, pair_kinds

SMALL = {
    "crop_size": 32,
    "batch_size": 4,
    "epochs": 3,
    "radius": 3,
    "learning_rate": 0.1,
    "momentum": 0.9,
    "displacement_factor": 1.0,
}


def settings(**changes):
    return IRNSettings(**{**SMALL, **changes})


def weights(net):
    return {name: value.clone() for name, value in net.branches.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


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
    every = ~nothing
    loss = affinity_loss(affinity, PairKinds(every, nothing, every))
    loss.backward()
    assert math.isfinite(loss.item()) and affinity.grad.isfinite().all()
    assert affinity_loss(affinity, PairKinds(nothing, nothing, nothing)).item() == 0


def test_displacements_to_one_middle_cost_nothing():
    """Every position of an object points to (2, 3); in the background all is the same."""
    y, x = torch.meshgrid(torch.arange(6.0), torch.arange(7.0), indexing="ij")
    middle = torch.stack([2 - y, 3 - x])[None]
    labels = torch.full((1, 6, 7), 4, dtype=torch.uint8)
    foreground, background = displacement_losses(middle, pair_kinds(labels, 3), 3)
    assert foreground.item() == pytest.approx(0, abs=1e-6)
    assert background.item() == 0
    flat = torch.full((1, 2, 6, 7), 5.0)
    labels[:] = 0
    assert displacement_losses(flat, pair_kinds(labels, 3), 3)[1].item() == 0


def test_displacement_losses_by_hand():
    """One pair beside each other: D_i - D_j is (1, 3), x_j - x_i is (0, 1)."""
    displacement = torch.tensor([[[[1.0, 0.0]], [[3.0, 0.0]]]])  # dy, dx
    labels = torch.ones(1, 1, 2, dtype=torch.uint8)
    foreground, background = displacement_losses(displacement, pair_kinds(labels, 1.5), 1.5)
    assert (foreground.item(), background.item()) == ((1 + 2) / 2, 0)
    nothing = pair_kinds(labels * 0, 1.5)
    assert displacement_losses(displacement, nothing, 1.5)[1].item() == (1 + 3) / 2


def test_labels_at_positions_are_those_of_the_nearest_pixels():
    labels = torch.arange(36, dtype=torch.uint8).view(1, 6, 6)
    assert at_positions(labels, (3, 3))[0].tolist() == [[7, 9, 11], [19, 21, 23], [31, 33, 35]]
    assert at_positions(labels, (6, 6)).equal(labels)
    assert at_positions(labels, (2, 3)).shape == (1, 2, 3)


# Views --------------------------------------------------------------------------------------


def test_image_and_labels_stay_together(tmp_path):
    """The labels are drawn from the image's brightness, so they must agree after every view."""
    images = Noise(labels=[[1, 0, 0]] * 3, sizes=((40, 30), (20, 50)))

    def bright(image):
        return (np.asarray(image).mean(axis=2) > 127).astype(np.uint8)

    folder = write_labels_of(images, tmp_path, lambda index: bright(images.image(index)))
    how = settings(scale_min=1.0, scale_max=1.0, crop_size=36)
    views = LabelledViews(images, folder, how)
    flipped = 0
    for epoch in range(6):
        for index in range(3):
            view, labels = views[epoch, index]
            assert view.shape == (3, 36, 36) and labels.shape == (36, 36)
            inside = labels != 255
            assert (view[:, ~inside] == 0).all()
            assert 0.3 < inside.float().mean() < 1
            mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
            std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
            shown = (view * std + mean).mean(dim=0) > 127.01 / 255
            assert shown[inside].equal(labels[inside].bool())
            again = views[epoch, index]
            assert again[0].equal(view) and again[1].equal(labels)
            flipped += not views[epoch + 1, index][0].equal(view)
    assert flipped > 12


def test_scales_stay_in_their_range_and_no_label_is_invented(tmp_path):
    images = Noise(labels=[[1, 0, 0]])
    folder = write_labels_of(images, tmp_path, lambda _: np.tile([0, 3, 255], (24, 11))[:, :32])
    views = LabelledViews(images, folder, settings(crop_size=0, scale_min=0.5, scale_max=1.5))
    sizes = set()
    for epoch in range(30):
        view, labels = views[epoch, 0]
        assert view.shape[1:] == labels.shape
        assert set(labels.unique().tolist()) <= {0, 3, 255}
        sizes.add(labels.shape[1])
    assert 16 <= min(sizes) < 20 and 44 < max(sizes) <= 48


def test_views_of_other_sizes_and_labels_of_another_size_are_named(tmp_path):
    images = Noise(labels=[[1, 0, 0]] * 2, sizes=((32, 24), (20, 20)))
    folder = write_labels_of(images, tmp_path, lambda _: np.zeros((24, 32), np.uint8))
    views = LabelledViews(images, folder, settings(crop_size=0, scale_min=1, scale_max=1))
    with pytest.raises(ValueError, match=r"n001.png are 32 x 24 pixels, the image is 20 x 20"):
        views[0, 1]
    one, other = views[0, 0], (torch.zeros(3, 5, 5), torch.zeros(5, 5))
    with pytest.raises(ValueError, match="must have one size: set crop_size"):
        stack_views([one, other])


# Training -----------------------------------------------------------------------------------


@pytest.fixture
def labelled(tmp_path):
    images = Noise()
    return images, write_labels_of(images, tmp_path / "labels")


def trained(labelled, folder=None, net=None, **changes):
    return train_irn(net or IRN(classifier()), *labelled, settings(**changes), folder)


def test_training_lowers_the_loss_and_loads_the_next_time(labelled, tmp_path):
    first = trained(labelled, tmp_path / "net", epochs=6)
    assert first.history[-1] < 0.95 * first.history[0]
    assert not first.loaded and not first.net.branches.training
    assert sorted(path.name for path in (tmp_path / "net").iterdir()) == ["irn.safetensors"]
    again = trained(labelled, tmp_path / "net", epochs=6)
    assert again.loaded and again.history == first.history and again.seconds == first.seconds
    assert same(weights(again.net), weights(first.net))
    # a net that has these weights already, as when a cell runs twice
    assert trained(labelled, tmp_path / "net", first.net, epochs=6).loaded


@pytest.mark.parametrize("after", [1, 2])
def test_a_killed_training_goes_on_to_the_same_net(labelled, tmp_path, monkeypatch, after):
    whole = trained(labelled)
    train_epoch, done = irn_training._train_epoch, []

    def killed(*arguments):
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(1)
        return train_epoch(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(irn_training, "_train_epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(labelled, tmp_path / "net")
    calls = []
    monkeypatch.setattr(irn_training, "_train_epoch", lambda *a: calls.append(1) or train_epoch(*a))
    resumed = trained(labelled, tmp_path / "net")
    assert len(calls) == 3 - after
    assert resumed.history == whole.history
    assert same(weights(resumed.net), weights(whole.net))


def test_workers_change_nothing(labelled):
    alone = trained(labelled, epochs=1)
    helped = train_irn(IRN(classifier()), *labelled, settings(epochs=1), workers=1)
    assert same(weights(alone.net), weights(helped.net))


def test_no_global_random_state_is_touched_or_used(labelled):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = trained(labelled, epochs=1)
    assert torch.get_rng_state().equal(before)
    torch.manual_seed(4)
    assert same(weights(first.net), weights(trained(labelled, epochs=1).net))


def test_afterwards_displacements_are_0_on_average(labelled):
    images, _ = labelled
    net = trained(labelled, epochs=1).net
    assert net.branches.mean_displacement.abs().max() > 0
    from ribnb.data.views import to_tensor

    with torch.no_grad():
        found = [net(to_tensor(images.image(index))[None])[1][0] for index in range(len(images))]
    mean = torch.stack([one.mean(dim=(1, 2)) for one in found]).mean(dim=0)
    assert mean.abs().max() < 1e-5


OTHERS = {
    "epochs is 3 there, 4 here": {"epochs": 4},
    "radius is 3.0 there, 4.0 here": {"radius": 4},
    "seed is 0 there, 1 here": {"seed": 1},
}


@pytest.mark.parametrize("message", OTHERS)
def test_another_training_s_folder_is_refused(labelled, tmp_path, message):
    trained(labelled, tmp_path / "net")
    with pytest.raises(ValueError, match=message):
        trained(labelled, tmp_path / "net", **OTHERS[message])


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


def test_a_state_that_cannot_be_read_is_warned_of(labelled, tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "training.pt").write_bytes(b"half a file")
    with pytest.warns(UserWarning, match="is not a whole training state"):
        trained(labelled, tmp_path / "net", epochs=1)


def test_images_without_usable_labels_are_left_out_by_name(labelled, tmp_path):
    images, folder = labelled
    (folder / "n001.png").unlink()
    (folder / "n002.png").write_bytes(b"half")
    write_labels_of(images, folder, lambda _: np.full((24, 32), 255), only=("n005",))
    write_labels_of(images, folder, lambda _: np.full((24, 32), 9), only=("n006",))
    found = trained((images, folder), epochs=1)
    assert found.skipped.keys() == {"n001", "n002", "n005", "n006"}
    assert "there is no mask" in found.skipped["n001"]
    assert "is not a whole mask" in found.skipped["n002"]
    assert "no two of its pixels have a confident label" in found.skipped["n005"]
    assert "holds [9], but there are 3 classes" in found.skipped["n006"]
    for name in images.ids:
        (folder / f"{name}.png").unlink(missing_ok=True)
    with pytest.raises(ValueError, match="has no image to train on; n000, for example: there is"):
        trained((images, folder), epochs=1)


def test_labels_of_another_split_or_no_labels_are_refused(labelled, tmp_path):
    others = Noise(labels=[[1, 0, 0]] * 9)
    with pytest.raises(ValueError, match="labels of other images than the 9 here"):
        trained((others, labelled[1]))
    with pytest.raises(FileNotFoundError, match="is no folder of masks"):
        trained((labelled[0], tmp_path))


def test_a_loss_that_is_not_finite_is_said(labelled):
    net = IRN(classifier())
    with torch.no_grad():
        net.branches.boundary.weigh.bias.fill_(math.nan)
    with pytest.raises(
        FloatingPointError, match=r"the loss is nan at epoch 1, step 1 of 3\. Lower"
    ):
        trained(labelled, net=net)
