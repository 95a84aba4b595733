"""How the exhibits that notebooks across systems write are computed again, for every paper alike."""

import functools

import pandas as pd
from known import BOOT, in_order

from skinlib.across import embeddings, fitzpatrick
from skinlib.across import systems as across
from skinlib.across.localisation import by_energy, gallery_table, localisation
from skinlib.across.shap_inputs import shap_table
from skinlib.papers.recall_oriented import tables as recall_oriented
from skinlib.workflow import reference


def exhibits(paper):
    """Return exhibit -> function of the published profile's `Known`, of which only ``folder`` is asked."""

    def of(function):
        return lambda known: function(paper, known.folder)

    found = {"embeddings": of(embedded)}
    if paper in across.OTHERS:
        found["tone"] = of(toned)
    if paper in across.SEEING:
        found |= {"localisation": of(located), "gradcam_joint" if paper == "joint_ensemble" else "gradcam": of(listed)}
    if paper == "metadata_sr":
        found |= {"fig5": of(fig5), "fitzpatrick": of(agreed), "fitzpatrick_groups": of(by_type)}
        found |= {"shap_metadata": of(moved), "shap_image": lambda _: pd.DataFrame(columns=["row", "metric", "ours"])}
    return found


@functools.cache
def runs(paper, folder):
    return in_order(folder, paper)


def first(paper, folder, prefixes):
    found = runs(paper, folder)
    plan = {name: run.config for name, run in found.items()}
    chosen = across.first_of(plan, next(iter(prefixes)))
    return next(run for run in found.values() if run.config == chosen)


def where(run):
    return {"dataset": run.config.dataset, "split": run.config.split}


def embedded(paper, folder):
    run = first(paper, folder, across.NETWORKS[paper].values())
    return embeddings.scores(reference.kept_table(folder, paper, "embeddings"), **where(run), **BOOT)


def located(paper, folder):
    run = first(paper, folder, [across.SEEING[paper]])
    return localisation(reference.kept_table(folder, paper, "localisation"), **where(run), **BOOT)


def listed(paper, folder):
    run, kept = first(paper, folder, [across.SEEING[paper]]), reference.kept_table(folder, paper, "localisation")
    return gallery_table(by_energy(kept), kept, **where(run), names=("energy",))


def fig5(paper, folder):
    kept = reference.kept_table(folder, paper, "embeddings")
    run = first(paper, folder, across.NETWORKS[paper].values())
    return embeddings.published_silhouettes(kept[kept["network"] != "noise"], **where(run), **BOOT)


def agreed(paper, folder):
    run = first(paper, folder, [across.OTHERS[paper]])
    kept = reference.kept_table(folder, paper, "fitzpatrick")
    return fitzpatrick.agreement(kept, dataset=run.config.dataset, **BOOT)


def by_type(paper, folder):
    kept = reference.kept_table(folder, paper, "fitzpatrick")
    types = dict(zip(kept["image_id"], kept["skin_type"], strict=True))
    return fitzpatrick.performance(across.binary(first(paper, folder, [across.OTHERS[paper]])), types, **BOOT)


def moved(paper, folder):
    run = first(paper, folder, [across.OTHERS[paper]])
    return shap_table(reference.kept_table(folder, paper, "shap"), **where(run), **BOOT)


def toned(paper, folder):
    arm = across.binary(first(paper, folder, [across.OTHERS[paper]]))
    tone = reference.kept_table(folder, paper, "ita")[["image_id", "group"]]
    return recall_oriented.table8(arm._replace(table=arm.table.merge(tone, on="image_id")), **BOOT)
