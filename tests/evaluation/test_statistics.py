"""Bootstrap, DeLong, McNemar, Holm and Wilson against oracles, brute force and identities."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from MLstatkit import Delong_test
from prediction_rows import binary_table, random_table
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from skinlib.evaluation import delong, metrics, statistics, tables
from skinlib.evaluation.resampled import UndefinedMetricError, mean_over

AUC = metrics.binary("roc_auc")


def two_scores(rows=200, seed=0, lesions=None):
    table = random_table(rows, seed, lesions=lesions)
    y, a = tables.outcome(table)
    b = np.round(a + np.random.default_rng(seed + 1).normal(0, 0.2, rows), 2)
    return y, a, b, table["lesion_id"].to_numpy()


def obuchowski(y, a, b, groups):
    """Variance of the difference of two clustered AUCs, by loops over the pairs as printed in the paper."""
    auc, deviations = [], []
    for score in (a, b):
        kernel = (score[y == 1][:, None] > score[y == 0]) + 0.5 * (score[y == 1][:, None] == score[y == 0])
        auc.append(kernel.mean())
        deviations.append((kernel.mean(axis=1) - kernel.mean(), kernel.mean(axis=0) - kernel.mean()))
    m, n = (y == 1).sum(), (y == 0).sum()
    ten = one = eleven = 0.0
    for group in set(groups):
        positive, negative = groups[y == 1] == group, groups[y == 0] == group
        x = deviations[0][0][positive].sum() - deviations[1][0][positive].sum()
        z = deviations[0][1][negative].sum() - deviations[1][1][negative].sum()
        ten, one, eleven = ten + x * x, one + z * z, eleven + x * z
    i10, i01, i = (len(set(part)) for part in (groups[y == 1], groups[y == 0], groups))
    s10, s01, s11 = ten * i10 / (i10 - 1) / m, one * i01 / (i01 - 1) / n, eleven * i / (i - 1)
    return auc, s10 / m + s01 / n + 2 * s11 / (m * n)


@pytest.mark.parametrize("seed", range(4))
def test_delong_agrees_with_mlstatkit(seed):
    y, a, b, _ = two_scores(150, seed)
    auc_a, auc_b, z, p = statistics.delong_test(y, a, b)
    oracle_z, oracle_p, (low, high), _, oracle_a, oracle_b, _ = Delong_test(y, a, b)
    assert (auc_a, auc_b) == pytest.approx((oracle_a, oracle_b))
    assert (z, p) == pytest.approx((-oracle_z, oracle_p))  # MLstatkit takes b - a
    error = np.sqrt(delong.auc_covariance([delong.placements(y, a, np.arange(150))]).item())
    assert (auc_a - 1.959964 * error, min(auc_a + 1.959964 * error, 1)) == pytest.approx((low, high))
    assert auc_a == pytest.approx(roc_auc_score(y, a))


@pytest.mark.parametrize("seed", range(3))
def test_clustered_delong_agrees_with_the_printed_formula(seed):
    y, a, b, groups = two_scores(120, seed, lesions=40)
    y = np.where(np.arange(120) % 7 == 0, 1 - y, y)  # clusters that hold both classes
    auc, variance = obuchowski(y, a, b, groups)
    found = statistics.delong_test(y, a, b, groups=groups)
    assert found[:2] == pytest.approx(auc) and found[2] == pytest.approx((auc[0] - auc[1]) / np.sqrt(variance))


def test_single_clusters_are_plain_delong_and_copies_add_nothing():
    y, a, b, _ = two_scores(100)
    plain = statistics.delong_test(y, a, b)
    for groups in (np.arange(100), np.array([None] * 100, dtype=object)):  # a missing cluster is one of its own
        assert statistics.delong_test(y, a, b, groups=groups) == pytest.approx(plain)
    twice, names = (np.tile(values, 2) for values in ((y, a, b), np.arange(100)))
    assert statistics.delong_test(*twice, groups=names) == pytest.approx(plain)
    assert abs(statistics.delong_test(*twice)[2]) > abs(plain[2])  # taken as independent the copies look like evidence


def test_unpaired_delong_is_the_sum_of_two_variances():
    y1, s1, _, g1 = two_scores(150, 1)
    y2, s2, _, g2 = two_scores(90, 5)
    auc1, auc2, z, _ = delong.delong_unpaired(y1, s1, y2, s2, groups=(g1, [f"other {name}" for name in g2]))
    alone = [delong.auc_covariance([delong.placements(y, s, np.arange(len(y)))]) for y, s in ((y1, s1), (y2, s2))]
    assert z == pytest.approx((auc1 - auc2) / np.sqrt(sum(alone).item()))


def test_unpaired_delong_knows_shared_clusters():
    """Two scores of the same rows as two groups of the same lesions: near the paired test, far from independence."""
    y, a, b, groups = two_scores(600, 3)
    paired = statistics.delong_test(y, a, b)[2]
    assert delong.delong_unpaired(y, a, y, b, groups=(groups, groups))[2] == pytest.approx(paired, rel=0.01)
    assert abs(delong.delong_unpaired(y, a, y, b)[2]) < 0.9 * abs(paired)


def test_delong_without_variance():
    y, perfect = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9])
    assert statistics.delong_test(y, perfect, perfect) == (1.0, 1.0, 0.0, 1.0)
    assert np.isnan(statistics.delong_test(y, perfect, -perfect)[2:]).all()
    with pytest.raises(UndefinedMetricError, match="two clusters"):
        statistics.delong_test(y, perfect, perfect, groups=["a", "b", "c", "c"])


@pytest.mark.parametrize("groups", [None, "lesion_id"])
def test_counts_and_drawn_rows_give_the_same_interval(groups):
    table = random_table(80, lesions=40)
    fast = statistics.bootstrap_ci(AUC, table, groups=groups, n=100)
    assert fast == pytest.approx(statistics.bootstrap_ci(lambda rows: AUC(rows), table, groups=groups, n=100))


def test_interval_of_a_mean_is_the_normal_one():
    values = np.random.default_rng(0).normal(10, 2, 400)
    value, low, high = statistics.bootstrap_ci(np.mean, values, n=4000)
    error = values.std(ddof=1) / 20
    assert value == values.mean()
    assert ((low - value) / error, (high - value) / error) == pytest.approx((-1.96, 1.96), abs=0.12)


def test_chunks_do_not_change_the_draws(monkeypatch):
    table = random_table(50)
    whole = statistics.bootstrap_distribution(AUC, table, n=64)
    monkeypatch.setattr("skinlib.evaluation.statistics.CHUNK", 50 * 7)
    assert np.array_equal(whole, statistics.bootstrap_distribution(AUC, table, n=64))


def test_copies_of_a_cluster_do_not_narrow_the_interval():
    table = random_table(100)
    twice = pd.concat([table, table], ignore_index=True)
    honest = statistics.bootstrap_ci(AUC, table, groups="lesion_id", n=300)
    assert statistics.bootstrap_ci(AUC, twice, groups="lesion_id", n=300) == pytest.approx(honest)
    naive = statistics.bootstrap_ci(AUC, twice, n=300)
    assert naive.high - naive.low < 0.85 * (honest.high - honest.low)


def test_undefined_replicates_are_counted_and_too_many_refused():
    few = binary_table([1, 0, 0, 0], [0.9, 0.1, 0.2, 0.3])
    with pytest.raises(UndefinedMetricError, match="of 500 resamples"):  # no malignant row in (3/4)^4 = 32 %
        statistics.bootstrap_ci(AUC, few, n=500)
    enough = binary_table([1] * 4 + [0] * 60, np.linspace(1, 0, 64))
    undefined = statistics.percentile_interval(statistics.bootstrap_distribution(AUC, enough, n=1000))[2]
    assert 0 < undefined <= 30  # (60/64)^64 = 1.6 %
    with pytest.raises(UndefinedMetricError, match="roc_auc does not exist"):
        statistics.bootstrap_ci(AUC, enough.query("label == 0"))


def test_crossed_clusters_draw_seeds_too():
    first, second = random_table(80).assign(seed=0), random_table(80, signal=3).assign(seed=1)
    both, averaged = pd.concat([first, second], ignore_index=True), mean_over(AUC, "seed")
    images = statistics.bootstrap_ci(averaged, both, groups="lesion_id", n=400)
    crossed = statistics.bootstrap_ci(averaged, both, groups=("lesion_id", "seed"), n=400)
    assert images.value == pytest.approx((AUC(first) + AUC(second)) / 2)
    assert crossed.high - crossed.low > images.high - images.low


def test_paired_bootstrap_matches_rows_and_changes_sign():
    a = random_table(300, lesions=150, signal=3)
    drawn = np.random.default_rng(0).permutation(a["p_malignant"])
    b = a.assign(p_malignant=drawn, p_benign=1 - drawn)
    compare = lambda first, second: statistics.paired_bootstrap(AUC, first, second, groups="lesion_id", n=300)
    difference, low, high, p = compare(a, b)
    assert difference == pytest.approx(AUC(a) - AUC(b)) and low > 0 and p < 0.02
    assert compare(a, b.sample(frac=1, random_state=3)) == (difference, low, high, p)
    assert compare(b, a) == pytest.approx((-difference, -high, -low, p)) and compare(a, a) == (0, 0, 0, 1)
    assert statistics.two_sided_p(np.array([-1.0, *range(1, 9), np.nan])) == pytest.approx(2 * (1 + 1) / (9 + 1))


def test_paired_bootstrap_refuses_other_rows():
    a = random_table(50)
    twice, other = pd.concat([a, a]), a.assign(label=1 - a["label"])
    pairs = (a, a.iloc[1:], "different rows"), (a, other, "different labels"), (twice, twice, "one row per image_id")
    for first, second, words in pairs:
        with pytest.raises(tables.PredictionTableError, match=words):
            statistics.paired_bootstrap(AUC, first, second)
    with pytest.raises(tables.PredictionTableError, match="no column patient_id"):
        statistics.bootstrap_ci(AUC, a, groups="patient_id")


@settings(max_examples=60)
@given(st.lists(st.tuples(*[st.booleans()] * 3), max_size=40))
def test_mcnemar_agrees_with_statsmodels(rows):
    y, a, b = np.array(rows, bool).reshape(-1, 3).T
    right = [(a == y) & (b == y), (a == y) & (b != y), (a != y) & (b == y), (a != y) & (b != y)]
    cells = np.array([part.sum() for part in right]).reshape(2, 2)
    found = statistics.mcnemar_test(y, a, b)
    assert found[:2] == (cells[0, 1], cells[1, 0])
    assert found[2] == pytest.approx(mcnemar(cells, exact=True).pvalue if found[0] + found[1] else 1)


@settings(max_examples=20)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_agrees_with_statsmodels(p):
    adjusted = statistics.holm(p)
    assert adjusted == pytest.approx(multipletests(p, method="holm")[1]) and (adjusted >= p).all()


def test_holm_without_missing_tests_and_mcnemar_by_hand():
    assert statistics.holm([0.01, np.nan, 0.04, 0.03]) == pytest.approx([0.03, np.nan, 0.06, 0.06], nan_ok=True)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        statistics.holm([1.2])
    assert statistics.mcnemar_test([1] * 8, [1] * 7 + [0], [0] * 7 + [1]) == (7, 1, pytest.approx(2 * 9 / 256))
    assert np.isnan(statistics.wilson_interval(0, 0)).all()


@given(st.integers(1, 500), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_agrees_with_statsmodels(n, share, level):
    k = round(share * n)
    wanted = proportion_confint(k, n, 1 - level, "wilson")
    assert statistics.wilson_interval(k, n, level) == pytest.approx(wanted, abs=1e-12)


def test_seeds_are_drawn_within_their_fold():
    lesions, folds, seeds = (np.array(x) for x in (list("aabb") * 2, [0] * 4 + [1] * 4, [0, 1, 0, 1, 10, 11, 10, 11]))
    (counts,) = statistics.resamples((lesions, folds, seeds), 8, 400, 0, (None, None, folds))
    shares = counts.reshape(400, 2, 2, 2)  # fold, lesion, seed
    drawn = shares.sum(axis=(2, 3))
    assert set(drawn.sum(axis=1)) == {8} and {0.0, 4.0, 8.0} == set(drawn[:, 0])  # a fold comes with as many seeds
    assert (drawn[:, 0] == 0).mean() == pytest.approx(0.25, abs=0.06)  # two units, not four
    once = shares[drawn[:, 0] == 4][:, 0].sum(axis=1)  # the seeds of a fold that was drawn once
    assert {tuple(row) for row in once} == {(0.0, 4.0), (2.0, 2.0), (4.0, 0.0)}
    two = next(statistics.resamples((lesions, folds), 8, 400, 0))
    assert np.array_equal(two.reshape(400, 2, 4).sum(axis=2), drawn)


def test_strata_keep_their_number_of_clusters():
    groups, strata = np.array(list("aabbcdde")), np.array([0, 0, 0, 0, 1, 1, 1, 1])
    plain, kept = (next(statistics.resamples(groups, 8, 50, 0, given)) for given in (None, strata))
    first = [0, 2, 4, 5, 7]  # a row of each cluster
    assert (kept[:, first[:2]].sum(1) == 2).all() and (kept[:, first[2:]].sum(1) == 3).all()
    assert (plain[:, first].sum(1) == 5).all() and (plain[:, first[:2]].sum(1) != 2).any()
    assert (kept[:, 0] == kept[:, 1]).all()  # a cluster stays whole
