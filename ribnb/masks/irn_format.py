"""Maps and masks in the format of IRN's scripts, which those of RIB's authors build on.

    python -m ribnb.masks.irn_format RUN_FOLDER OUTPUT
    python -m ribnb.masks.irn_format MASKS_FOLDER OUTPUT

Of a run, each ``maps/<id>.npz`` becomes ``<id>.npy``, and in its place what these scripts load::

    found = np.load("OUTPUT/2007_000032.npy", allow_pickle=True).item()
    found["keys"]      # (n,) int64 array, 0-based class ids
    found["cam"]       # (n, ceil(H / 4), ceil(W / 4)) float32 tensor on the CPU
    found["high_res"]  # (n, H, W) float32 array

These files hold pickles, because a dictionary in an ``.npy`` file is one and the scripts accept
nothing else. Loading a pickle can run any code: load only files that you made yourself. This
package writes them and never reads them; its own maps need no pickle.

Of a folder of masks or of confident labels, each ``<id>.png`` becomes one of 8-bit greys: the
scripts read them with ``imageio.imread``, which makes colours of a palette.
"""

from __future__ import annotations

import argparse
import os
import pickle
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image

from ribnb.core.files import Maps, read_maps, whole_file
from ribnb.core.mask_files import read_mask_file
from ribnb.core.progress import progress
from ribnb.masks.stages import RECORD as MASKS
from ribnb.scores.split_scores import FILE as SCORES


@dataclass
class ExportReport:
    """What became of the map files, or of the masks.

    Attributes:
        folder: where the ``.npy`` files, or the grey masks, are.
        written: ids of the images exported now.
        kept: how many had been exported before.
        failed: id -> what is wrong with its file.
    """

    folder: Path
    written: list[str] = field(default_factory=list)
    kept: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [
            f"{len(self.written)} images written to {self.folder}, {self.kept} were there; "
            f"failed {len(self.failed)}"
        ]
        return "\n".join(lines + [f"failed: {name}: {why}" for name, why in self.failed.items()])


def export_irn(maps_dir: str | Path, output_dir: str | Path) -> ExportReport:
    """Write each map file of a folder as IRN's scripts load it; see the module.

    An export that was stopped goes on where it was: a file of the same time as its map file is
    left alone, and any other is written anew, so that none stays from older maps. Files are whole
    or not there. A damaged map file is named in the report, and the rest goes on.

    An image without labels gets arrays of n = 0. IRN's evaluation takes them; its confident labels
    and its random walk do not, so leave such images out of the lists that they work through.

    Args:
        maps_dir: holds ``<id>.npz``, as ``localization_maps`` writes them to ``maps``.
        output_dir: is made if it does not exist; the scripts' ``cam_out_dir``.

    Raises:
        FileNotFoundError: ``maps_dir`` is no folder, or holds no map file.
        OSError: a file cannot be written.
    """
    paths = sorted(path for path in Path(maps_dir).glob("*.npz") if path.name != SCORES)
    if not paths:
        what = "holds no map files, <id>.npz" if Path(maps_dir).is_dir() else "is no folder"
        raise FileNotFoundError(
            f"{maps_dir} {what}; give the folder of a run, or its maps. A merged result has none: "
            "export each of its shards to one folder"
        )
    return _export(paths, Path(output_dir), ".npy", _write_maps)


def export_irn_masks(masks_dir: str | Path, output_dir: str | Path) -> ExportReport:
    """Write each mask of a folder as a PNG of 8-bit greys, as IRN's scripts read them.

    For confident labels (the scripts' ``ir_label_out_dir``) and for masks
    (``sem_seg_out_dir``). Resumed and reported like ``export_irn``.

    Args:
        masks_dir: holds ``<id>.png``, as every stage that makes masks writes them.
        output_dir: is made if it does not exist; another folder.

    Raises:
        FileNotFoundError: ``masks_dir`` is no folder, or holds no mask.
        ValueError: both are one folder.
        OSError: a file cannot be written.
    """
    paths = sorted(Path(masks_dir).glob("*.png"))
    if not paths:
        what = "holds no masks, <id>.png" if Path(masks_dir).is_dir() else "is no folder"
        raise FileNotFoundError(f"{masks_dir} {what}; give the output folder of a stage of masks")
    if Path(masks_dir).resolve() == Path(output_dir).resolve():
        raise ValueError(f"the output {output_dir} is the folder of the masks; give another one")
    return _export(paths, Path(output_dir), ".png", _write_grey)


def _export(
    paths: Sequence[Path], folder: Path, suffix: str, write: Callable[[Path, Path], None]
) -> ExportReport:
    """``write(path, temporary)`` for each of the files whose output is not of its time."""
    report = ExportReport(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for path in progress(paths, "IRN's format"):
        output = folder / f"{path.stem}{suffix}"
        time = path.stat().st_mtime_ns
        if output.is_file() and output.stat().st_mtime_ns == time:
            report.kept += 1
            continue
        try:
            with whole_file(output) as temporary:
                write(path, temporary)
                os.utime(temporary, ns=(time, time))
        except ValueError as error:
            report.failed[path.stem] = str(error)
            output.unlink(missing_ok=True)  # it is of another file than the damaged one
            continue
        except OSError as error:
            raise OSError(f"cannot write {output}: {error.strerror or error}") from error
        report.written.append(path.stem)
    return report


def _write_maps(path: Path, temporary: Path) -> None:
    maps = read_maps(path)
    with open(temporary, "wb") as file:
        _save(file, maps)


def _write_grey(path: Path, temporary: Path) -> None:
    Image.fromarray(read_mask_file(path)).save(temporary, "PNG")


def _save(file: BinaryIO, maps: Maps) -> None:
    """What ``np.save`` makes of the dictionary, but for the pickle's way to name arrays."""
    found = {
        "keys": maps.class_ids.astype(np.int64),
        "cam": torch.from_numpy(maps.strided.astype(np.float32, order="C")),
        "high_res": maps.high_res.astype(np.float32),
    }
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    np.lib.format.write_array_header_1_0(file, header)
    _Pickler(file, protocol=4).dump(_Made(np.array, found))


class _Made:
    """Unpickles as ``function(argument)``."""

    def __init__(self, function, argument) -> None:
        self.made = function, (argument,)

    def __reduce__(self) -> tuple:
        return self.made


class _Pickler(pickle.Pickler):
    """Names arrays so that every NumPy finds them.

    NumPy 2 pickles an array by a name that NumPy before 1.26 does not know, and the scripts are
    mostly run with versions of their time.
    """

    def reducer_override(self, value: object) -> tuple:
        if isinstance(value, np.ndarray):
            return np.ndarray, (value.shape, value.dtype.str, bytearray(value.tobytes()))
        return NotImplemented


def main(arguments: Sequence[str] | None = None) -> int:
    """Export maps or masks for IRN's scripts; 1 if some failed, 2 for arguments without sense.

    Repeated after it was stopped, the same command goes on from there.
    """
    parser = argparse.ArgumentParser(
        prog="python -m ribnb.masks.irn_format", description=main.__doc__
    )
    parser.add_argument("run_folder", type=Path, help="holds maps/, or is that folder; or masks")
    parser.add_argument("output", type=Path, help="for <id>.npy (cam_out_dir) or <id>.png")
    given = parser.parse_args(arguments)
    inside = given.run_folder / "maps"
    try:
        if (given.run_folder / MASKS).is_file():
            report = export_irn_masks(given.run_folder, given.output)
        else:
            report = export_irn(inside if inside.is_dir() else given.run_folder, given.output)
    except (FileNotFoundError, FileExistsError, NotADirectoryError, ValueError) as error:
        print(f"ribnb.masks.irn_format: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"ribnb.masks.irn_format: {error}; what was written is whole", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "ribnb.masks.irn_format: stopped; the same command goes on from here", file=sys.stderr
        )
        return 130
    print(report)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
