# The paper's ablations, or the whole reproduction, as a batch of chapters.
#
#   make ablations                                         the ablations on scenes, on this machine
#   snakemake --configfile book/settings/voc_full.yml      every stage on VOC 2012
#   snakemake --configfile FILE --cores 8 --resources gpu=4
#   snakemake --configfile FILE --executor slurm ...       the page "running" says more
#
# A job's folder is named by what it computes: settings that change are another folder, and what
# is there is not run again. profiles/default sets what every call has.

import shlex
import sys

from snakemake.exceptions import WorkflowError

from ribnb.runs import batch_check
from ribnb.runs import batch_progress
from ribnb.runs.batch import read_batch
from ribnb.runs.jobs import done_file
from ribnb.core.settings_files import BATCH as SECTION

PYTHON = shlex.quote(sys.executable)
given = workflow.config_settings.config
try:
    if len(workflow.configfiles) > 1:
        raise ValueError("one --configfile at a time; its sections are what chapters get")
    if others := [name for name in given if name != SECTION]:
        raise ValueError(f"--config can change the section {SECTION} only, not {', '.join(others)}")
    BATCH = read_batch(next(iter(workflow.configfiles), None), given.get(SECTION))
except (OSError, ValueError) as error:
    raise WorkflowError(str(error)) from None
JOBS, LABELS, FOLDER = BATCH.jobs, BATCH.labels, str(BATCH.folder)
if workflow.is_main_process:
    for line in batch_check.set_broken_aside(BATCH):
        print(line, file=sys.stderr)


def needed(wildcards):
    """The files that say that what a job needs is done."""
    return [f"{FOLDER}/{job.done}" for job in JOBS[wildcards.job].needs]


def labels(wildcards):
    return {"run": LABELS[wildcards.job]}


def gpus(wildcards):
    return int(batch_check.wants_gpu(JOBS[wildcards.job]))


onstart:
    batch_check.before_running(BATCH, local=workflow.local_exec)
    batch_progress.begin(BATCH.folder, JOBS, LABELS)


onsuccess:
    print(batch_progress.summary(BATCH.folder, JOBS))


onerror:
    print(batch_progress.summary(BATCH.folder, JOBS))


rule all:
    input:
        [f"{FOLDER}/{job.done}" for job in JOBS.values()],


# One rule for each stage, so that a cluster can give each its own time and memory.
for kind in sorted({job.kind for job in JOBS.values()}):
    rule:
        name: kind
        input:
            needed,
        output:
            report(f"{FOLDER}/{{job}}/{done_file(kind)}", category=kind, labels=labels),
        wildcard_constraints:
            job=rf"{kind}_[0-9a-f]{{10}}",
        resources:
            gpu=gpus,
        shell:
            "{PYTHON} -m ribnb.runs.run_job {FOLDER}/{wildcards.job}"
