"""Maps and masks in the format of IRN's scripts, which those of RIB's authors build on.

    ribnb export RUN_FOLDER OUTPUT
    ribnb export MASKS_FOLDER OUTPUT

Of a run, each ``maps/<id>.npz`` becomes ``<id>.npy``, and in its place what these scripts load::

    maps = np.load("OUTPUT/2007_000032.npy", allow_pickle=True).item()
    maps["keys"]      # (n,) int64 array, 0-based class ids
    maps["cam"]       # (n, ceil(H / 4), ceil(W / 4)) float32 tensor on the CPU
    maps["high_res"]  # (n, H, W) float32 array

These files hold pickles, because a dictionary in an ``.npy`` file is one and the scripts accept
nothing else. Loading a pickle so can run any code: do it only with files that you made yourself.
``ribnb score`` reads them without.

Of a folder of masks or of confident labels, each ``<id>.png`` becomes one of 8-bit greys: the
scripts read them with ``imageio.imread``, which makes colours of a palette.
"""

from __future__ import annotations

import io
import os
import pickle
import time
from operator import methodcaller
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ribnb.core.files import read_maps, write_whole
from ribnb.core.runner import Report, progress
from ribnb.core.voc import read_mask


def export_irn(folder: str | Path, output_dir: str | Path) -> Report:
    """Write each map or mask of a folder as IRN's scripts load it; see the module.

    A file of the same time as its source is left alone, and any other is written anew. A damaged
    source is named in the report, and the rest goes on. An image without labels gets arrays of
    n = 0. IRN's evaluation takes them; its confident labels and its random walk do not, so leave
    such images out of the lists that they work through.

    Args:
        folder: of a run, whose ``maps`` are taken, or of ``<id>.npz``; or of a stage's masks.
        output_dir: is made if it does not exist. The scripts call it ``cam_out_dir`` for maps,
            ``ir_label_out_dir`` for confident labels, ``sem_seg_out_dir`` for masks.

    Raises:
        FileNotFoundError: the folder holds neither maps nor masks.
        ValueError: the output is the folder of the masks itself.
        OSError: a file cannot be written.
    """
    folder, output_dir = Path(folder), Path(output_dir)
    maps = folder / "maps" if (folder / "maps").is_dir() else folder
    paths = sorted(maps.glob("*.npz")) or sorted(folder.glob("*.png"))
    if not paths:
        raise FileNotFoundError(
            f"{folder} holds neither maps nor masks; give the folder of a run, its maps, or a "
            "stage's masks"
        )
    if paths[0].suffix == ".png" and folder.resolve() == output_dir.resolve():
        raise ValueError(f"the output {output_dir} is the folder of the masks; give another one")
    output_dir.mkdir(parents=True, exist_ok=True)
    start, report = time.perf_counter(), Report(output_dir, what="images")
    for path in progress(paths, "IRN's format"):
        output = output_dir / path.with_suffix(".npy" if path.suffix == ".npz" else ".png").name
        made = path.stat().st_mtime_ns
        if output.is_file() and output.stat().st_mtime_ns == made:
            report.kept += 1
            continue
        try:
            content = _exported(path)
        except ValueError as error:
            report.failed[path.stem] = str(error)
            output.unlink(missing_ok=True)  # it is of another file than the damaged one
            continue
        write_whole(output, methodcaller("write", content))
        os.utime(output, ns=(made, made))  # last: one without it is written anew
        report.written.append(path.stem)
    report.seconds = time.perf_counter() - start
    return report


def _exported(path: Path) -> bytes:
    """A file in IRN's format: greys, or what ``np.save`` makes of a dictionary of maps."""
    file = io.BytesIO()
    if path.suffix == ".png":
        Image.fromarray(read_mask(path)).save(file, "PNG")
        return file.getvalue()
    maps = read_maps(path)
    contents = {
        "keys": maps.class_ids.astype(np.int64),
        "cam": torch.from_numpy(maps.strided.astype(np.float32, order="C")),
        "high_res": maps.high_res.astype(np.float32),
    }
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    np.lib.format.write_array_header_1_0(file, header)
    # The scripts are mostly run with a NumPy of their time, which knows arrays by the old name.
    # Protocol 3 writes names as text between line ends, so that another length does no harm.
    file.write(pickle.dumps(np.array(contents), 3).replace(b"cnumpy._core.", b"cnumpy.core."))
    return file.getvalue()
