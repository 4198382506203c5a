"""Masks and maps drawn by hand or at random, for the tests of scores."""

import numpy as np

# Drawn by hand: 2 x 4 pixels, three classes, one pixel ignored.
TRUTH = np.array([[0, 0, 1, 1], [0, 255, 1, 2]], np.uint8)
PREDICTED = np.array([[0, 1, 1, 1], [0, 1, 0, 2]], np.uint8)
NAMES = ("cat", "dog", "bus")

# Two maps over one row of five pixels, and their truth.
MAP = {
    "class_ids": np.array([2, 0]),
    "high_res": np.array([[[1.0, 0.6, 0.3, 0.0, 0.2]], [[0.0, 0.5, 0.4, 1.0, 0.1]]], np.float32),
}
ROW = np.array([[3, 3, 0, 1, 255]], np.uint8)


def random_case(seed: int, num_classes: int = 4, shape=(9, 7)):
    """Maps on a grid of tenths, so that many pixels tie with a threshold or a class."""
    generator = np.random.default_rng(seed)
    maps, masks = [], []
    for number in generator.permutation(num_classes + 1):
        ids = generator.permutation(num_classes)[:number]
        high_res = (generator.integers(0, 11, (number, *shape)) / 10).astype(np.float32)
        maps.append({"class_ids": ids, "high_res": high_res})
        values = [*range(num_classes + 1), 255]
        masks.append(generator.choice(values, shape).astype(np.uint8))
    return maps, masks


def constant_map(class_id: int, value: float, shape=(2, 2)) -> dict:
    return {"class_ids": [class_id], "high_res": np.full((1, *shape), value, np.float32)}
