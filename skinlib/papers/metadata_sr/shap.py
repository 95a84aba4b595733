"""What the proposed network of the metadata paper is asked for SHAP values: the image, and each of 21 answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from skinlib.across.shap_inputs import Subject
from skinlib.across.systems import outlined, proposed_runs, sample_of
from skinlib.data import clinical, splits
from skinlib.data.cards import class_names
from skinlib.explain.run_maps import OfImage
from skinlib.explain.shap_values import image_shap
from skinlib.images.batches import Batches
from skinlib.training import runs
from skinlib.training.features import batches_of
from skinlib.training.runs import Run

EXPLAINED, BACKGROUND = 60, 20  # rows; permutations of 22 inputs ask each explained one 441 times the background
UNKNOWN = -1.0  # stands for a number that was not given
BLANK = "not asked"
AT_ONCE = 4096  # rows through the network


def coded(cohort: pd.DataFrame) -> pd.DataFrame:
    """Return a number for each of the 21 questions: the number given, or the place of the answer in `levels`."""
    encoded = clinical.encode(cohort)
    columns = {}
    for name, place in clinical.blocks().items():
        block = encoded[:, place]
        blank = np.isnan(block).all(1)
        if clinical.questions()[name]:
            columns[name] = np.where(blank, block.shape[1], np.nan_to_num(block).argmax(1)).astype(float)
        else:
            columns[name] = np.where(blank, UNKNOWN, block[:, 0]).astype(float)
    return pd.DataFrame(columns)


def levels() -> dict[str, tuple[str, ...]]:
    """Return the answers of each question with a list of them; the last one means that it was not asked."""
    return {name: (*answers, BLANK) for name, answers in clinical.questions().items() if answers}


def encoded(codes: np.ndarray) -> np.ndarray:
    """Return (M, 21) codes as the network reads answers, (M, D); NaN where nothing was answered."""
    table = np.full((len(codes), len(clinical.columns())), np.nan, np.float32)
    for k, (name, place) in enumerate(clinical.blocks().items()):
        answers = clinical.questions()[name]
        known = codes[:, k] != (len(answers) if answers else UNKNOWN)
        if answers:
            table[known, place] = np.eye(len(answers), dtype=np.float32)[codes[known, k].astype(int)]
        else:
            table[known, place.start] = codes[known, k]
    return table


@torch.inference_mode()
def image_vectors(run: Run, cohort: pd.DataFrame) -> torch.Tensor:
    """Return what the image gives to the fusion (eq. 2), (N, 512): it does not depend on the answers."""
    model, batches = run.model(), batches_of(run, cohort)
    found = [model.adapt(model.backbone(b["image"])).mean((2, 3)) for b in batches.epoch(0, torch.device("cpu"))]
    return torch.cat(found)


def fused_function(run: Run, seen: torch.Tensor):
    """Return the network as a function of image (row of ``seen``) and 21 answers: (M, 22) -> percent of each class."""
    model = run.model()

    @torch.inference_mode()
    def part(inputs: np.ndarray) -> np.ndarray:
        answers = model.imputer(torch.from_numpy(encoded(inputs[:, 1:])))
        fused = seen[inputs[:, 0].astype(int)] * model.meta(answers)
        return model.head(fused).softmax(1).numpy() * 100

    return lambda inputs: np.concatenate([part(inputs[k : k + AT_ONCE]) for k in range(0, len(inputs), AT_ONCE)])


def subject(study) -> Subject:
    """Return what is explained of the proposed network: test rows at even steps of their ids, against training rows."""
    run = proposed_runs(study)["metadata_sr"]
    test, train = (
        sample_of(part(run, study, name), most) for name, most in (("test", EXPLAINED), ("train", BACKGROUND))
    )
    both = pd.concat([test, train], ignore_index=True)
    codes = coded(both)
    codes.insert(0, "image", np.arange(len(both), dtype=float))
    return Subject(
        fused_function(run, image_vectors(run, both)),
        codes.iloc[: len(test)].reset_index(drop=True),
        codes.iloc[len(test) :].reset_index(drop=True),
        test[["image_id", "lesion_id", "patient_id"]].reset_index(drop=True),
        tuple(class_names(run.config.dataset, run.config.label_space)),
        levels(),
        (run,),
        {"dataset": run.config.dataset, "split": run.config.split},
    )


def part(run: Run, study, name: str) -> pd.DataFrame:
    """Return the training or test images of a run."""
    cohort = runs.cohort_of(run.config, study.data_root)
    split = runs.split_of(run.config, study.data_root, study.results_root)
    return splits.part(cohort, split, run.config.fold, name)


def patients(run: Run, test: pd.DataFrame) -> pd.DataFrame:
    """Choose a test image of each class by rule: that whose probability of the true class is the median of the class.

    Returns
    -------
    DataFrame
        Rows of ``test`` that have an outline, a class each, with ``called`` (position) and ``p_true``.
    """
    table = run.predictions("identity").query("part == 'test'").set_index("image_id")
    scores = [name for name in table if name.startswith("p_")]
    known = outlined(test)
    p = table.loc[known["image_id"], scores].to_numpy()
    known = known.assign(called=p.argmax(1), p_true=p[np.arange(len(known)), known["label"]])
    chosen = []
    for _, own in known.sort_values(["p_true", "image_id"]).groupby("label"):
        chosen.append(own.iloc[[(len(own) - 1) // 2]])
    return pd.concat(chosen, ignore_index=True)


def batch_of(run: Run, cohort: pd.DataFrame) -> tuple[dict, Batches]:
    """Return a cohort's images and answers as one batch, and where they come from."""
    batches = batches_of(run, cohort, masks=True)
    found = list(batches.epoch(0, torch.device("cpu")))
    return {key: torch.cat([one[key] for one in found]) for key in ("image", "meta")}, batches


def image_values(run: Run, chosen: pd.DataFrame, train: pd.DataFrame, *, seed: int = 0) -> tuple[np.ndarray, Batches]:
    """Return the size of the SHAP values of each chosen image's pixels, (N, H, W) >= 0, for the class called.

    Sizes are summed over the channels; the patient's answers are held. The background are images of ``train``.
    """
    model, background = run.model(), batch_of(run, sample_of(train, BACKGROUND))[0]["image"]
    batch, batches = batch_of(run, chosen)
    values = [
        image_shap(OfImage(model, batch["meta"][[k]]), batch["image"][k], background, int(called), seed=seed)
        for k, called in enumerate(chosen["called"])
    ]
    return np.abs(np.stack(values)).sum(1), batches
