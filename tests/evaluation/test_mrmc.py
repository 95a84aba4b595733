"""Comparisons over networks and cases against a published example, hand-made formulas and the truth of a simulation."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from prediction_rows import random_table

from skinlib.evaluation import metrics, statistics, tables
from skinlib.evaluation.delong import auc_covariance, placements
from skinlib.evaluation.mrmc import compare, obuchowski_rockette
from skinlib.evaluation.resampled import Metric, UndefinedMetricError, mean_over, ratio

AUC = metrics.binary("roc_auc")
SCORE = Metric("mean score", lambda table, counts: ratio(counts @ table["score"].to_numpy(), counts.sum(axis=1)))


def networks(r, *, rows=120, **options):
    """One table of r networks that saw the same images, with clusters of images."""
    one = random_table(rows, 3, lesions=50, **options)
    generator = np.random.default_rng(r)
    noisy = [np.clip(one["p_malignant"] + generator.normal(0, 0.15, rows), 0, 1).round(3) for _ in range(r)]
    each = [one.assign(seed=s, p_benign=1 - p, p_malignant=p, score=p) for s, p in enumerate(noisy)]
    return pd.concat(each, ignore_index=True)


def measures(values, **columns):
    """A table of measures (r, N): a row an image and seed."""
    r, n = values.shape
    seed, image = (index.ravel() for index in np.indices((r, n)))
    return pd.DataFrame({"image_id": image, "seed": seed, "score": values.ravel()} | columns)


@pytest.mark.parametrize(("metric", "error", "df", "p", "low", "high"), [
    (AUC, 0.02068250, 15.066, 0.05123, -0.08787, 0.00027),
    (Metric("roc_auc", AUC.weighted), 0.02074862, 15.25967, 0.05167, -0.08796, 0.00036),  # by jackknife
], ids=["DeLong", "jackknife"])  # fmt: skip
def test_van_dyke_is_analysed_as_published(metric, error, df, p, low, high):
    """Five radiologists, 114 patients, two ways to record MRI of the aorta (Van Dyke et al. 1993, public data).

    The difference and the jackknife's figures are those that Hillis and others print for this example; DeLong's
    follow from the same formulas.
    """
    read = pd.read_csv(Path(__file__).parents[1] / "fixtures" / "vandyke.csv")
    table = read.rename(columns={"case": "image_id", "truth": "label"})
    table = table.assign(p_benign=1 - table["rating"] / 5, p_malignant=table["rating"] / 5)
    first, second = (table[table["treatment"] == treatment] for treatment in (1, 2))
    found = compare(first, second.sample(frac=1, random_state=0), metric, unit="reader")
    assert found.difference == pytest.approx(-0.04380032, abs=5e-9) and found.units == 5
    assert found.standard_error == pytest.approx(error, abs=5e-9) and found.df == pytest.approx(df, abs=5e-4)
    assert (found.p, found.low, found.high) == pytest.approx((p, low, high), abs=5e-6)


def test_a_mean_of_common_cases_has_the_textbook_covariance():
    a, b = np.random.default_rng(0).normal(size=(2, 4, 50))
    found = compare(measures(a), measures(b), SCORE)
    expected = obuchowski_rockette(a.mean(1), b.mean(1), np.cov(np.vstack([a, b])) / 50)
    for name in ("difference", "standard_error", "df", "p"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name)), name
    assert found.each == pytest.approx((a - b).mean(axis=1))


@pytest.mark.parametrize("metric", [AUC, SCORE], ids=["DeLong", "jackknife"])
def test_copies_of_the_images_of_a_patient_add_nothing(metric):
    a, b = networks(3), networks(3, signal=3)
    copies = [table.assign(image_id=table["image_id"] + "b") for table in (a, b)]
    twice = [pd.concat(pair, ignore_index=True) for pair in zip((a, b), copies, strict=True)]
    plain, doubled = compare(a, b, metric), compare(*twice, metric)
    assert (doubled.standard_error, doubled.df) == pytest.approx((plain.standard_error, plain.df))
    assert compare(b, a, metric).low == pytest.approx(-plain.high)


def test_units_on_other_cases_share_no_luck_of_cases():
    """With disjoint test parts the folds are independent: a plain t test of their differences."""
    a, b = np.random.default_rng(1).normal(size=(2, 5, 40))
    fold = np.repeat(np.arange(5), 40)
    apart = [measures(values, fold=fold).assign(image_id=np.arange(200)) for values in (a, b)]
    found, each = compare(*apart, SCORE, unit="fold"), (a - b).mean(axis=1)
    assert (found.standard_error, found.df) == pytest.approx((each.std(ddof=1) / np.sqrt(5), 4))
    lucky = compare(*(table.assign(image_id=table["image_id"] % 40) for table in apart), SCORE, unit=("fold", "seed"))
    assert lucky.difference == pytest.approx(found.difference)


def test_a_fold_may_be_the_unit_and_its_seeds_an_average():
    a, b = (
        pd.concat([networks(2).assign(fold=fold, score=lambda t, s=scale * fold: t["score"] + s) for fold in range(3)])
        for scale in (0.1, 0.3)
    )
    found = compare(a, b, mean_over(SCORE, "seed"), unit="fold")
    assert found.units == 3 and found.each == pytest.approx([0, -0.2, -0.4])
    assert compare(a, b, SCORE, unit=("fold", "seed")).units == 6
    with pytest.raises(tables.PredictionTableError, match="never pooled"):
        compare(a, b, "roc_auc", unit="fold")


def test_jackknife_and_delong_agree_where_networks_share_part_of_the_cases():
    a, b = networks(4, rows=400), networks(4, rows=400, signal=2.5)
    part = (a["seed"] * 40 <= a.index % 400) & (a.index % 400 < 280 + a["seed"] * 40)
    a, b = a[part].reset_index(drop=True), b[part].sample(frac=1, random_state=0)
    one, other = compare(a, b, "roc_auc"), compare(a, b, Metric("roc_auc", AUC.weighted))
    assert one.difference == pytest.approx(other.difference)
    assert one.standard_error == pytest.approx(other.standard_error, rel=0.05)


def test_without_variance():
    a = networks(3)
    same = compare(a, a, "roc_auc")
    assert (same.difference, same.low, same.high, same.p, same.standard_error) == (0, 0, 0, 1, 0)
    more = compare(a.assign(score=a["score"] + 0.1), a, SCORE)  # each image of each network alike: there is no test
    assert more.difference == pytest.approx(0.1) and np.isnan([more.low, more.high, more.p]).all()
    covariance = np.diag([1e-4] * 4) + 1e-5 * np.kron(np.eye(2), np.ones((2, 2)))
    known = obuchowski_rockette([0.8, 0.8], [0.7, 0.7], covariance)
    assert np.isinf(known.df) and known.low == pytest.approx(0.1 - 1.959964 * np.sqrt(2e-5))


def test_what_cannot_be_compared_is_refused():
    a = networks(3)
    with pytest.raises(ValueError, match="at least two"):
        compare(a[a["seed"] == 0], a[a["seed"] == 0], "roc_auc")
    with pytest.raises(tables.PredictionTableError, match="different rows"):
        compare(a, a[a["seed"] < 2], "roc_auc")
    with pytest.raises(tables.PredictionTableError, match="no column split_seed"):
        compare(a, a, "roc_auc", unit=("split_seed", "seed"))
    with pytest.raises(tables.PredictionTableError, match="one row per image_id"):
        compare(pd.concat([a, a]), pd.concat([a, a]), "roc_auc")
    with pytest.raises(UndefinedMetricError, match="recall does not exist"):
        compare(a.assign(label=0), a.assign(label=0), "recall")


def simulated(r, n, repetitions, *, of_network=1.0, of_image=0.5, seed=0):
    """Values (repetitions, 2, r, n) of two equally good systems; how much the luck of each differs between systems."""
    normal = np.random.default_rng(seed).normal
    sizes = {(1, r, 1): 0.3, (2, r, 1): of_network, (1, 1, n): 1.0, (2, 1, n): of_image, (1, r, n): 1.0, (2, r, n): 1.0}
    return sum(size * normal(size=(repetitions, *shape)) for shape, size in sizes.items())


def covers(values):
    """Share of repetitions whose 95 % interval holds the true difference, 0."""
    deviations = (values - values.mean(axis=3, keepdims=True)).reshape(len(values), -1, values.shape[3])
    covariances = deviations @ deviations.transpose(0, 2, 1) / values.shape[3] / (values.shape[3] - 1)
    found = [obuchowski_rockette(*pair, own) for pair, own in zip(values.mean(axis=3), covariances, strict=True)]
    return np.mean([one.low <= 0 <= one.high for one in found])


def bootstrap_covers(values, n=1000):
    """The same of the crossed percentile bootstrap, whose counts are drawn once for all repetitions."""
    _, _, networks, images = values.shape
    seeds, cases = (index.ravel() for index in np.indices((networks, images)))
    counts = np.concatenate(list(statistics.resamples((cases, seeds), len(cases), n, 0)))
    differences = (values[:, 0] - values[:, 1]).reshape(len(values), -1)
    low, high = np.quantile(counts @ differences.T / counts.sum(axis=1, keepdims=True), [0.025, 0.975], axis=0)
    return np.mean((low <= 0) & (high >= 0))


@pytest.mark.parametrize("r", [3, 5, 10])
@pytest.mark.parametrize(("of_network", "of_image"), [(1, 0.5), (0.3, 1.5)])
def test_intervals_cover_the_truth_with_few_networks(r, of_network, of_image):
    values = simulated(r, 80, 4000, of_network=of_network, of_image=of_image)
    assert 0.93 < covers(values) < 0.97
    if r == 3:
        assert bootstrap_covers(values) < (0.8 if of_network == 1 else 0.93)


def test_intervals_of_an_auc_cover_the_truth():
    r, n, y = 5, 80, np.arange(80) % 3 == 0
    found = []
    for scores in (simulated(r, n, 800, of_network=0.3, of_image=1) + 2 * y).reshape(800, 2 * r, n):
        samples = [placements(y.astype(int), score, np.arange(n)) for score in scores]
        auc = np.array([sample.auc for sample in samples])
        found.append(obuchowski_rockette(auc[:r], auc[r:], auc_covariance(samples)))
    assert 0.93 < np.mean([one.low <= 0 <= one.high for one in found]) < 0.97
