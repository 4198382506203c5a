"""Masks on disk: the names that moved to core.voc."""

from ribnb.core.voc import read_mask as read_mask_file
from ribnb.core.voc import write_mask as write_mask_file

__all__ = ["read_mask_file", "write_mask_file"]
