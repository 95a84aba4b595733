# data -> plan -> training runs -> notebooks. `make reproduce` calls it, on a cluster too: docs/cluster.md.
# What is done is remembered in results/<profile>/state; the runs themselves are kept by the run store, under their ids.
import functools
import shlex
import sys

from skinlib.data.roots import data_digest, generator_files
from skinlib.paths import project_root
from skinlib.workflow.work import Work

place = {name: str(config.get(name, "")) for name in ("data", "results", "notebooks", "only")}
work = Work.open(str(config.get("profile", "sample")), **place)
cards = {card.stem: card for card in work.cards}
library = project_root() / "skinlib"
# Files that decide which runs there are and what they are called; the fingerprint of a run's code judges the rest.
PLANNING = ("config.py", "data/*.*", "images/*.py", "models/*.py", "training/*.py", "papers/**/*.py")
# Of a job: threads, memory, the longest training (one that is cut goes on from its last epoch), and GPUs to train on.
sizes = {"memory_gb": 4, "hours": 24, "gpus": 0} | work.profile
skinlib = shlex.join([sys.executable, "-m", "skinlib.workflow.cli"])

if not work.generated:
    work.stamp_data()


localrules:
    all,


wildcard_constraints:
    job="[0-9a-z_]+",
    code="[0-9a-f]+",


rule all:
    input:
        [work.notebook_stamp(stem) for stem in cards],


if work.generated:

    rule data:
        input:
            generator_files(),
        output:
            work.data_stamp,
        params:
            digest=data_digest(work.profile),
        threads: 1
        resources:
            mem_mb=4000,
            runtime=60,
        shell:
            "{skinlib} data synthesise {work.place}"


checkpoint plan:
    input:
        work.data_stamp,
        work.profile_file,
        sorted(file for pattern in PLANNING for file in library.glob(pattern)),
    output:
        work.plan_file,
    priority: 2  # before notebooks that need no runs: the runs wait for it, and the others for them
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,  # it reads every image once
    shell:
        "{skinlib} plan {work.place}"


@functools.lru_cache(1)
def planned(changed):
    """Return stamp of a job -> its run ids, and run id -> its entry of the plan; read once a plan."""
    return work.jobs(work.profile["papers"]), work.planned(work.profile["papers"])


def of_job(wildcards):
    """Return the configurations that a job trains, and the stamps of other jobs that train what those are built on."""
    jobs, entries = planned(work.plan_file.stat().st_mtime_ns)
    runs = jobs[work.state / "runs" / f"{wildcards.job}-{wildcards.code}.json"]
    parents = {parent for run in runs for parent in entries[run].get("parents", ())} - set(runs)
    before = [stamp for stamp, trained in jobs.items() if parents.intersection(trained)]
    return {"configs": [str(work.configs / f"{run}.json") for run in runs], "before": before}


rule train:
    input:
        ancient(work.plan_file),
        lambda wildcards: of_job(wildcards)["before"],
    output:
        str(work.state / "runs" / "{job}-{code}.json"),
    params:
        configs=lambda wildcards: of_job(wildcards)["configs"],
    priority: 1
    threads: work.profile["threads"]
    resources:
        train=1,
        mem_mb=1000 * sizes["memory_gb"],
        runtime=60 * sizes["hours"],
        gpu=sizes["gpus"],
    shell:
        "[ {resources.gpu} = 0 ] || nvidia-smi -L || echo 'skinlib: no GPU is seen here; training on the CPU' >&2\n"
        "{skinlib} train {params.configs:q} {work.place} --stamp {output:q}"


def runs_of(wildcards):
    card = cards[wildcards.notebook]
    if card.needs == "none":
        return []
    if card.needs == "exhibits":
        return [work.notebook_stamp(stem) for stem, other in cards.items() if other.needs != "exhibits"]
    checkpoints.plan.get()  # waits until the runs have names
    return list(work.jobs(work.papers([card])))


rule notebook:
    input:
        work.data_stamp,
        work.profile_file,
        sorted((project_root() / "data" / "published").rglob("*.csv")),
        notebook=lambda wildcards: cards[wildcards.notebook].path,
        code=lambda wildcards: work.code_behind(cards[wildcards.notebook]),
        runs=runs_of,
    output:
        str(work.state / "notebooks" / "{notebook}.ok"),
    threads: 1
    resources:
        mem_mb=1000 * sizes["memory_gb"],
        runtime=work.profile["notebooks"]["time_limit_minutes"] + 5,
    shell:
        "{skinlib} notebooks run {input.notebook:q} {work.place} --stamp {output:q}"
