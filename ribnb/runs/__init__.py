"""A run and its result: execution of a chapter, result files, tables, bundles, batches."""

from ribnb.runs.execution import execute_chapter
from ribnb.runs.results import Run, load_results
from ribnb.runs.tables import results_table
