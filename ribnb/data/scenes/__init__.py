"""Drawn scenes: creatures and vehicles in landscapes, in memory and on disk."""
