# The paper's ablations, or the whole reproduction, as a batch of chapters.
#
#   make ablations                                         the ablations on scenes, on this machine
#   snakemake --configfile book/settings/voc_full.yml      every stage on VOC 2012
#   snakemake --configfile FILE --cores 8 --resources gpu=4
#   snakemake --configfile FILE --executor slurm ...       the page "running" says more
#   snakemake --configfile FILE --report report.html       what has run, with its results
#
# A job's folder is named by what it computes: settings that change are another folder, and what
# is there is not run again. A rule declares no more than the file that says that a job has ended:
# what else a failed job has made stays, and it goes on from there. profiles/default sets what
# every call has.

import shlex
import sys

from snakemake.exceptions import WorkflowError

from ribnb.book import CHAPTERS
from ribnb.core.settings import BATCH as SECTION
from ribnb.runs import jobs
from ribnb.runs.batch import SHARDED, read_batch
from ribnb.runs.results import RESULT

RUN = f"{shlex.quote(sys.executable)} -m ribnb.runs.jobs"
given = workflow.config_settings.config
try:
    if len(workflow.configfiles) > 1:
        raise ValueError("one --configfile at a time; its sections are what chapters get")
    if others := [name for name in given if name != SECTION]:
        raise ValueError(f"--config can change the section {SECTION} only, not {', '.join(others)}")
    BATCH = read_batch(next(iter(workflow.configfiles), None), CHAPTERS, given.get(SECTION))
except (OSError, ValueError) as error:
    raise WorkflowError(str(error)) from None
JOBS, FOLDER = BATCH.jobs, str(BATCH.folder)
if workflow.is_main_process:
    for line in jobs.set_broken_aside(BATCH):
        print(line, file=sys.stderr)


def needed(wildcards):
    """The files that say that what a job needs is done."""
    return [f"{FOLDER}/{need.done}" for need in JOBS[wildcards.job].needs]


def shards(wildcards):
    """The files that say that the shards of a job are done."""
    return [f"{FOLDER}/{path}" for path in JOBS[wildcards.job].shards_done]


def labels(wildcards):
    return {"run": BATCH.labels[wildcards.job]}


def gpus(wildcards):
    return int(JOBS[wildcards.job].wants_gpu)


onstart:
    global lock
    lock = jobs.prepare(BATCH)  # held until this process ends


onerror:
    for line in jobs.not_done(BATCH):
        print(line)


wildcard_constraints:
    job="[a-z_]+_[0-9a-f]{10}",


rule all:
    input:
        [f"{FOLDER}/{job.done}" for job in JOBS.values()],


# One rule for each chapter, so that a cluster can give each its own time and memory.
for chapter in sorted({job.chapter for job in JOBS.values()}):

    rule:
        name: chapter
        input:
            needed,
            shards,
        output:
            report(f"{FOLDER}/{{job}}/{RESULT}", category=chapter, labels=labels),
        log:
            f"{FOLDER}/{{job}}/{jobs.LOG}",
        wildcard_constraints:
            job=rf"{chapter}_[0-9a-f]{{10}}",
        resources:
            gpu=gpus,
        shell:
            "{RUN} {FOLDER:q}/{wildcards.job} >> {log:q} 2>&1"


# Processes that share the images of one run; the rule above makes their result.
rule shard:
    input:
        needed,
    output:
        touch(f"{FOLDER}/{{job}}/shard_{{part}}_of_{{parts}}.done"),
    log:
        f"{FOLDER}/{{job}}/shard_{{part}}_of_{{parts}}.txt",
    wildcard_constraints:
        job=rf"{SHARDED}_[0-9a-f]{{10}}",
    resources:
        gpu=gpus,
    shell:
        "{RUN} {FOLDER:q}/{wildcards.job} {wildcards.part}/{wildcards.parts} >> {log:q} 2>&1"
