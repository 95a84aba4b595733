"""Small prediction tables for the tests of this folder."""

import numpy as np
import pandas as pd


def binary_table(y, p, **columns):
    """A binary table of one image a row; part is val unless given."""
    p = np.asarray(p, float)
    ids = {"image_id": [f"image{i:05d}" for i in range(len(p))], "part": "val"}
    return pd.DataFrame(ids | columns | {"label": np.asarray(y, int), "p_benign": 1 - p, "p_malignant": p})


def random_table(rows, seed=0, *, lesions=None, share=0.3, signal=1.5, **columns):
    """Scores of overlapping classes, rounded so that ties occur; `lesions` clusters with a shared label and effect."""
    generator = np.random.default_rng(seed)
    lesion = np.arange(rows) if lesions is None else generator.integers(0, lesions, rows)
    label = (generator.random(rows) < share)[lesion]
    effect = generator.normal(size=rows)[lesion] + 0.5 * generator.normal(size=rows) + signal * label
    score = np.round(1 / (1 + np.exp(1 - effect)), 2)
    return binary_table(label, score, lesion_id=[f"lesion{i}" for i in lesion], **columns)


def three_classes(seed=0, rows=200):
    """A table of three diagnoses, the true one the likelier."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 3, rows)
    values = generator.dirichlet(np.ones(3), rows) + 0.4 * np.eye(3)[truth]
    values /= values.sum(axis=1, keepdims=True)
    frame = pd.DataFrame(values, columns=["p_nv", "p_mel", "p_bcc"])
    return frame.assign(image_id=[str(i) for i in range(rows)], label=truth)
