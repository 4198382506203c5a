"""Maps and masks as any program may have left them, each image's in a file named by its id."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ribnb.core.files import read_maps, read_text
from ribnb.core.voc import IGNORED, read_mask

DICTIONARIES, ARRAYS, MASKS = "dictionaries (.npy)", "arrays (.npy)", "masks (.png)"
KINDS = {".npz": "maps of ribnb (.npz)", ".npy": ARRAYS, ".png": MASKS}
LISTS = ("class_names.txt", "classes.txt")


def files_of(folder: Path, ids: Sequence[str]) -> tuple[str, dict[str, Path]]:
    """The one kind of these images' files, and id -> file; errors as of ``score_folder``."""
    listed = set(ids)
    files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in KINDS]
    paths = {path.stem: path for path in files if path.stem in listed}
    if not paths:
        raise FileNotFoundError(
            f"{folder} holds no map (.npz, .npy) or mask (.png) of one of the {len(ids)} images, "
            f"such as {ids[0]}, but {', '.join(path.name for path in files[:3]) or 'none at all'}"
        )
    kinds = {_kind(path): path.name for path in files if path.stem in paths}
    kinds.pop("", None)
    if len(kinds) > 1:
        found = " and ".join(f"{kind}, such as {name}" for kind, name in kinds.items())
        raise ValueError(f"{folder} holds {found}; give a folder of one kind")
    return next(iter(kinds), ARRAYS), paths


def _kind(path: Path) -> str:
    """By the ending, of ``.npy`` by the header; empty for one without."""
    if path.suffix.lower() != ".npy":
        return KINDS[path.suffix.lower()]
    with open(path, "rb") as file:
        start = file.read(64)
    return (DICTIONARIES if b"'|O'" in start else ARRAYS) if b"NUMPY" in start else ""


def reader(
    kind: str, folder: Path, class_names: Sequence[str], allow_pickle: bool
) -> Callable[[Path], Any]:
    """What reads a file of a kind: to a mask, or to maps as ``map_confusions`` takes them."""
    if kind == MASKS:  # undecided pixels are background
        return lambda path: read_mask(path, len(class_names)) % IGNORED
    if kind not in (DICTIONARIES, ARRAYS):
        return read_maps
    names, path = class_names, next(filter(Path.is_file, map(folder.joinpath, LISTS)), None)
    if path and kind == ARRAYS:
        names = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if other := [name for name in names if name not in class_names]:
        raise ValueError(f"{path} names {other[0]!r}, but the classes are {', '.join(class_names)}")

    def read(path: Path) -> dict[str, Any]:
        try:
            if kind == DICTIONARIES:
                return _of_dictionary(path, allow_pickle)
            with open(path, "rb") as file:
                maps = np.lib.format.read_array(file, allow_pickle=False)
            if maps.shape[:-2] != (len(names),):
                raise ValueError(
                    f"its shape is {maps.shape}, and not (C, H, W) with one map for each of the "
                    f"{len(names)} classes and none for the background"
                )
            return {"class_ids": [class_names.index(name) for name in names], "high_res": maps}
        except Exception as error:  # each kind of damage raises a kind of its own
            raise ValueError(f"{path} cannot be read as one of {kind}: {error}") from error

    return read


def _of_dictionary(path: Path, allow_pickle: bool) -> dict[str, Any]:
    with open(path, "rb") as file:
        if allow_pickle:
            found = np.load(file, allow_pickle=True).item()
        else:
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
            [found] = _Unpickler(file).load().state[-1]
    if not isinstance(found, dict) or not {"keys", "high_res"} <= found.keys():
        raise ValueError("it does not hold keys and high_res")
    keys, maps = _numbers(found["keys"]), _numbers(found["high_res"])
    padded = keys.shape == (len(maps) + 1,) and keys[0] == 0  # with the background
    if keys.shape == (len(maps),) and 0 in keys[:1] and 0 < maps[0].min() == maps[0].max() < 1:
        raise ValueError(
            "its first map is the same everywhere, as a background's score: leave the "
            "background's map out, and its key 0 may stay"
        )
    return {"class_ids": keys[1:] - 1 if padded else keys, "high_res": maps}


class _Kept:
    """An array or its type in a pickle: numpy's own would take pointers from the file."""

    def __init__(self, *given: Any) -> None:
        self.given = given

    def __setstate__(self, state: tuple) -> None:
        self.state = state


def _numbers(value: Any) -> np.ndarray:
    if not isinstance(value, _Kept):
        return np.asarray(value)
    _, shape, dtype, transposed, data = value.state
    numbers = np.frombuffer(data, dtype.state[1] + dtype.given[0])  # refuses objects
    return numbers.reshape(shape, order="F" if transposed else "C")


class _Unpickler(pickle.Unpickler):
    """Has something of its own for arrays and tensors, and runs nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        import torch  # takes seconds

        known = {
            **dict.fromkeys(("_reconstruct", "ndarray", "dtype"), _Kept),
            "OrderedDict": dict,
            "_load_from_bytes": lambda data: torch.load(io.BytesIO(data), "cpu", weights_only=True),
            "_rebuild_tensor_v2": lambda *given: torch._utils._rebuild_tensor_v2(*given),
        }
        if name not in known:
            raise pickle.UnpicklingError(
                f"it needs {module}.{name}, which is neither array nor tensor. Only if you trust "
                "who made it: --allow-pickle (allow_pickle=True) runs whatever program is in it"
            )
        return known[name]
