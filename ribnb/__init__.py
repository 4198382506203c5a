"""Helpers of the executable book about RIB (Lee et al., NeurIPS 2021)."""

__version__ = "0.1.0"
