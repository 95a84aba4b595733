"""What metadata give away without an image: plain classifiers that see one side of the clinical table alone.

Every result with metadata is shown next to what is known from which questions were asked: a table whose blanks name the
diagnosis makes any network that can see them look good.
"""

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skinlib.data import clinical, splits
from skinlib.data.cards import class_names

# What a probe sees -> in words.
SEES = {
    "asked": "only which questions were asked",
    "symptoms": "only the answers to the six symptoms",
    "metadata": "all answers, blanks filled in by the most frequent answer or the median of the training rows",
    "metadata_blanks": "all answers in the 81 columns of the literature, blanks as zeros: they can be seen",
}
CLASSIFIERS = ("forest", "logistic")


def inputs(cohort: pd.DataFrame, sees: str) -> pd.DataFrame:
    """Return what a probe is shown of each image: never ``diagnosis``, ``biopsed`` or an id."""
    if sees == "asked":
        return clinical.asked(cohort)
    if sees == "metadata_blanks":
        rows = np.nan_to_num(clinical.encode(cohort, "literature"))
        return pd.DataFrame(rows, cohort.index, clinical.columns("literature"))
    if sees not in SEES:
        raise ValueError(f"no probe sees {sees!r}; there are {', '.join(SEES)}")
    clinical.encode(cohort)  # refuses unknown answers
    told = clinical.answers(cohort).replace("BRASIL", "BRAZIL")
    told = told[list(clinical.SYMPTOMS)] if sees == "symptoms" else told
    numbers = [name for name in told if not clinical.questions()[name]]
    return told.astype("object").where(told.notna(), np.nan).assign(**{n: told[n].astype("float64") for n in numbers})


def classifier(sees: str, kind: str, *, seed: int = 0) -> Pipeline:
    """Return an unfitted classifier that weighs the classes evenly; blanks too are filled in from its own rows."""
    known: dict[str, ClassifierMixin] = {
        "forest": RandomForestClassifier(300, min_samples_leaf=2, class_weight="balanced", random_state=seed),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, class_weight="balanced")),
    }
    if kind not in known:
        raise ValueError(f"no classifier {kind!r}; choose {' or '.join(CLASSIFIERS)}")
    if sees in ("asked", "metadata_blanks"):
        return make_pipeline(known[kind])
    asked = clinical.SYMPTOMS if sees == "symptoms" else tuple(clinical.questions())
    words = [name for name in asked if clinical.questions()[name]]
    levels = [list(clinical.questions()[name]) for name in words]
    told = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(categories=levels, sparse_output=False))
    numbers = [name for name in asked if not clinical.questions()[name]]
    both = make_column_transformer((told, words), (SimpleImputer(strategy="median"), numbers))
    return make_pipeline(both, known[kind])


def probe(
    cohort: pd.DataFrame, split: pd.DataFrame, *, sees: str, kind: str = "forest", fold: int | None = 0, seed: int = 0
) -> pd.DataFrame:
    """Train a probe on the training rows of a split of PAD-UFES-20 and return its prediction table of the others.

    ``fold`` None trains on validation rows too; a class without a training row has probability 0.
    """
    names = class_names(cohort["dataset"].iloc[0])
    seen, label = inputs(cohort, sees), cohort["label"].to_numpy().astype(int)
    rows = {part: splits.part(cohort, split, fold, part).index for part in splits.PARTS}
    fitted = classifier(sees, kind, seed=seed)
    place = {part: cohort.index.get_indexer(index) for part, index in rows.items()}
    fitted.fit(seen.iloc[place["train"]], label[place["train"]])
    tables = []
    for part in ("val", "test"):
        if not len(place[part]):
            continue
        found = np.zeros((len(place[part]), len(names)))
        found[:, fitted.classes_] = fitted.predict_proba(seen.iloc[place[part]])
        ids = cohort[["image_id", "lesion_id", "patient_id", "dataset"]].iloc[place[part]].reset_index(drop=True)
        about = {"part": part, "fold": -1 if fold is None else fold, "system": f"probe_{sees}_{kind}", "seed": seed}
        scores = pd.DataFrame(found, columns=[f"p_{name}" for name in names])
        tables.append(pd.concat([ids.assign(**about, view="mean", label=label[place[part]]), scores], axis=1))
    return pd.concat(tables, ignore_index=True)
