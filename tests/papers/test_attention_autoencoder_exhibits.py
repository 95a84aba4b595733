"""The attention autoencoder's exhibits from small tables and maps whose numbers are worked out by hand."""

import dataclasses
import types

import numpy as np
import pandas as pd
import pytest

from skinlib.evaluation.segmentation import per_image
from skinlib.exhibits.ladder import half_widths, in_words, verdicts
from skinlib.exhibits.published import published
from skinlib.figures import results
from skinlib.papers.attention_autoencoder import arms, external, maps, side
from skinlib.papers.attention_autoencoder import attention as looks
from skinlib.papers.attention_autoencoder import figures as pictures
from skinlib.papers.attention_autoencoder import masks as outlines
from skinlib.papers.attention_autoencoder import tables as paper
from skinlib.papers.attention_autoencoder.plan import CLASSIFIES, PROPOSED

FEW = {"n_boot": 200, "seed": 0}
TIMES = 6  # eight images, so often
LABEL = np.tile([0, 0, 1, 2, 2, 2, 2, 2], TIMES)
RIGHT = (0, 0, 1, 2, 2, 2, 2, 2)
FAIR = (0, 2, 2, 2, 2, 2, 2, 0)  # of eight: one bcc and the akiec called mel, one mel called bcc
ALWAYS = (2,) * 8
OF = {"bcc": "bcc", "scc": "akiec", "mel": "mel"}
IDS = [f"i{k:02d}" for k in range(len(LABEL))]


def keys(seed=0, n=8 * TIMES, part="test"):
    columns = {"image_id": IDS[:n], "lesion_id": np.nan, "patient_id": np.nan, "dataset": "ham10000"}
    return pd.DataFrame(columns | {"split": "grouped", "part": part, "seed": seed})


def table(calls, seed=0, label=LABEL, part="test"):
    called = np.tile(calls, len(label) // len(calls))
    scores = {f"p_{code}": np.where(called == k, 0.8, 0.1) for k, code in enumerate(OF.values())}
    return keys(seed, len(label), part).assign(label=label, **scores)


def outline(found, seed=0, stage="raw"):
    """Scores of a lesion of 8 pixels of which so many are found, of eight images, repeated."""
    truth = np.zeros((len(LABEL), 4, 8), bool)
    truth[:, 0] = True
    masks = truth.copy()
    for k, pixels in enumerate(list(found) * TIMES):
        masks[k, 0, pixels:] = False
    return keys(seed).join(per_image(masks, truth, IDS, stage=stage).drop(columns="image_id"))


@dataclasses.dataclass
class Drawn:
    """A run whose calls, and of whose lesion the part found, are given by hand."""

    config: object
    calls: tuple
    found: tuple = (8,) * 8
    post: tuple = (8,) * 8
    metrics: dict = dataclasses.field(default_factory=dict)

    def predictions(self, view="mean"):
        seen = [table(self.calls, self.config.seed), table((2,), self.config.seed, np.array([2, 2, 0]), "val")]
        return pd.concat(seen, ignore_index=True).assign(view=view)

    def segmentation(self, stage="raw"):
        return outline(self.found if stage == "raw" else self.post, self.config.seed, stage)


def run(variant="proposed", calls=RIGHT, seed=0, found=(8,) * 8, post=(8,) * 8, **changes):
    draws = variant in ("autoencoder", "proposed")
    changes = {"losses": PROPOSED.losses if draws else CLASSIFIES, **changes}
    config = PROPOSED.replace(variant=variant, seed=seed, **changes)
    metrics = {"parameters": 7, "train_seconds": 10.0 + seed, "epochs": 2, "predict_test_seconds": 0.5, "best_epoch": 1}
    return Drawn(config, calls, found, post, metrics)


@pytest.fixture
def runs():
    made = {
        "baseline": run("baseline", ALWAYS),
        "attention": run("attention", FAIR),
        "autoencoder": run("autoencoder", FAIR, found=(4,) * 8, post=(4,) * 8),
        "proposed": run("proposed", RIGHT, found=(8, 8, 8, 8, 8, 8, 4, 4), post=(8, 8, 8, 8, 8, 8, 8, 0)),
        "choice/gate": run("proposed", FAIR, options={"fusion": "gate"}),
        "choice/no_reconstruction": run("proposed", RIGHT, found=(4,) * 8),
        "weights/1-10": run("proposed", RIGHT),
        "transfer/baseline/imagenet/10": run("baseline", FAIR, options={"share": 0.1}),
        "transfer/baseline/none/10": run("baseline", ALWAYS, weights="none", options={"share": 0.1}),
        "transfer/baseline/none/100": run("baseline", FAIR, weights="none"),
    }
    return {f"{name}/seed0": one for name, one in made.items()} | {"proposed/seed1": run("proposed", FAIR, seed=1)}


def value(frame, row, metric, column="ours"):
    return frame.set_index(["row", "metric"]).loc[(row, metric), column]


def test_the_ladder_and_the_majority_of_the_validation_rows(runs):
    tables = arms.ladder(runs)
    assert list(tables) == list(arms.LADDER) and len(tables["proposed"]) == 2 * len(LABEL)
    assert arms.majority(runs)["p_mel"].eq(1).all() and arms.majority(runs)["seed"].eq(0).all()
    assert list(arms.outlining(runs)) == ["autoencoder", "proposed"]
    assert arms.codes(PROPOSED) == OF
    with pytest.raises(KeyError, match="no seed in common"):
        arms.common_seeds({"a/seed0": run(seed=0), "b/seed1": run(seed=1)}, ["a", "b"])


@pytest.fixture
def compared(runs):
    return paper.fig2(arms.ladder(runs), arms.majority(runs), OF, **FEW)


def test_fig2_by_hand(compared):
    assert value(compared, "attention", "accuracy") == pytest.approx(5 / 8)
    assert value(compared, "attention", "recall_mel") == pytest.approx(4 / 5)
    assert value(compared, "attention", "precision_bcc") == pytest.approx(1 / 2)
    assert value(compared, "attention", "f1_scc") == 0 and "AKIEC stands in" in value(
        compared, "attention", "f1_scc", "note"
    )
    assert value(compared, arms.MAJORITY, "accuracy") == value(compared, "baseline", "accuracy") == 5 / 8
    assert value(compared, arms.MAJORITY, "macro_recall") == pytest.approx(1 / 3)
    assert np.isnan(value(compared, arms.MAJORITY, "precision_scc"))  # never called
    # of the proposed network one seed has all right, the other 5 of 8
    assert value(compared, "proposed", "accuracy") == pytest.approx((1 + 5 / 8) / 2)


def test_steps_are_paired_and_judged(runs):
    one = {name: each for name, each in runs.items() if name.endswith("seed0")}
    frame = paper.fig2(arms.ladder(one), arms.majority(one), OF, **FEW)
    assert value(frame, "proposed - baseline", "accuracy_diff") == pytest.approx(3 / 8)
    assert "helps" in value(frame, "proposed - baseline", "accuracy_diff", "note")
    assert value(frame, "attention - baseline", "accuracy_diff") == 0
    assert verdicts(side.as_changes(frame)).loc["attention - baseline", "accuracy"] == "no evidence"
    theirs = set(map(tuple, published(paper.PAPER, "fig2")[["row", "metric"]].to_numpy()))
    assert theirs <= set(map(tuple, frame[["row", "metric"]].to_numpy()))


def test_a_published_step_lies_inside_above_or_below_our_interval():
    frame = pd.DataFrame(
        [(f"{k}", "accuracy_diff", 0.0, -0.02, 0.04, size) for k, size in enumerate((0.01, 0.05, -0.03))],
        columns=["row", "metric", "ours", "low", "high", "published"],
    )
    frame.loc[3] = ["unpublished", "accuracy_diff", 0.0, -0.1, 0.1, np.nan]
    assert list(paper.of_that_size(frame)["published_is"]) == [paper.INSIDE, paper.ABOVE, paper.BELOW]


def test_confusion_counts_are_sums_over_seeds(runs):
    frame = paper.confusion(arms.ladder(runs), OF)
    assert value(frame, "attention, true bcc", "called_mel") == TIMES
    assert value(frame, "proposed, true mel", "called_mel") == 5 * TIMES + 4 * TIMES
    assert frame[frame["row"].str.startswith("proposed")]["ours"].sum() == 2 * len(LABEL)


def test_our_accuracy_takes_a_place_among_those_cited_and_the_rest_is_quoted(compared):
    assert [paper.rank(a) for a in (0.99, 0.924, 0.5)] == [1, 9, 10]
    frame = paper.fig3(compared)
    assert value(frame, "proposed", "accuracy") == value(compared, "proposed", "accuracy")
    assert value(frame, "Roy et al. 2023 [8]", "accuracy", "note") == paper.QUOTED


def test_claims_meet_the_published_rows(runs, compared, monkeypatch):
    monkeypatch.setattr(paper, "machine", lambda run: "here")
    scored = outlines.segmentation(arms.outlining(runs), **FEW)
    frame = paper.claims(compared, scored, [runs["proposed/seed0"], runs["proposed/seed1"]])
    theirs = set(map(tuple, published(paper.PAPER, "claims")[["row", "metric"]].to_numpy()))
    assert set(map(tuple, frame[["row", "metric"]].to_numpy())) == theirs
    assert value(frame, "inference", "images_per_second") == len(LABEL) / 0.5
    assert value(frame, "proposed", "rank_among_cited") == 10
    without = paper.claims(compared, outlines.segmentation({}, **FEW), [runs["proposed/seed0"]])
    assert "segmentation" not in set(without["row"])


def test_settings_and_counts_by_hand():
    cohort = pd.DataFrame({"image_id": ["a", "b", "c", "d"], "lesion_id": ["1", "1", "2", "3"]})
    cohort["diagnosis"], cohort["mask_path"] = ["bcc", "bcc", "mel", "akiec"], ["m", None, "m", "m"]
    kept = arms.counts(cohort, {"train": cohort.iloc[:2], "val": cohort.iloc[2:3], "test": cohort.iloc[3:]})
    frame = paper.data(kept, PROPOSED)
    assert (value(frame, "train", "bcc"), value(frame, "train", "lesions"), value(frame, "all", "n")) == (2, 1, 4)
    assert value(frame, "test", "scc", "note") == "AKIEC stands in"
    of = paper.settings(PROPOSED, kept, 3)
    assert (value(of, "data", "scc"), value(of, "data", "masks"), value(of, "data", "balance")) == (0, 3, 0.5)
    assert (value(of, "loss", "mask"), value(of, "model", "attention_kernel"), value(of, "training", "seeds")) == (
        1,
        7,
        3,
    )
    assert set(map(tuple, of[["row", "metric"]].to_numpy())) == set(
        map(tuple, published(paper.PAPER, "settings")[["row", "metric"]].to_numpy())
    )


def test_post_processing_helps_and_harms_by_hand(runs):
    stages = arms.outlining({"proposed/seed0": runs["proposed/seed0"]})["proposed"]
    average = outline((4,) * 8).drop(columns="seed").assign(seed=0)
    frame = outlines.segmentation({"proposed": stages}, average, **FEW)
    assert value(frame, "proposed", "dice") == pytest.approx((6 + 2 * 2 / 3) / 8)
    assert value(frame, "proposed, postprocessed", "dice") == pytest.approx(7 / 8)
    assert value(frame, "proposed, postprocessed", "images_helped") == TIMES
    assert value(frame, "proposed, postprocessed", "images_harmed") == TIMES
    assert value(frame, "proposed, postprocessed", "worst_difference") == pytest.approx(-2 / 3)
    assert value(frame, "proposed, postprocessed", "emptied") == TIMES
    assert value(frame, f"proposed - {outlines.AVERAGE}", "dice_diff") == pytest.approx((6 + 4 / 3) / 8 - 2 / 3)
    assert value(frame, "Ahmed and Zhao 2022 [13]", "dice", "note") == paper.QUOTED
    chosen = outlines.touched_cases(stages, each=1)
    assert dict(zip(chosen["case"], chosen["image_id"], strict=True)) == {"harmed 1": "i07", "helped 1": "i46"}
    cells = outlines.cases_table(chosen, dataset="d", split="s")
    assert value(cells, "harmed 1", "dice_postprocessed") == 0


def test_outlines_of_two_networks_are_compared_and_a_set_without_masks_has_none(runs):
    one = {name: each for name, each in runs.items() if name.endswith("seed0")}
    frame = outlines.segmentation(arms.outlining(one), **FEW)
    assert value(frame, "proposed - autoencoder", "dice_diff") == pytest.approx((6 + 4 / 3) / 8 - 2 / 3)
    assert "helps" in value(frame, "proposed - autoencoder", "dice_diff", "note")
    assert outlines.segmentation({}, **FEW)["ours"].isna().all()


def test_the_average_outline_is_where_half_of_the_training_lesions_lie(monkeypatch):
    lesions = np.zeros((4, 2, 2), np.uint8)
    lesions[:, 0, 0] = 1
    lesions[0, 0, 1] = lesions[3, 1] = 1  # one of three training lesions; the test lesion is three pixels
    cache = types.SimpleNamespace(masks=lesions, has_mask=np.array([True, True, True, True]))
    monkeypatch.setattr(outlines, "batches_of", lambda *_, **__: types.SimpleNamespace(cache=cache))
    cohort = pd.DataFrame({"image_id": list("abcd"), "lesion_id": np.nan, "patient_id": np.nan, "dataset": "ham10000"})
    frame = outlines.average_outline(run(), cohort, cohort.iloc[:3], cohort.iloc[3:])
    assert list(frame["image_id"]) == ["d"] and frame["dice"].item() == pytest.approx(2 * 1 / (1 + 3))


def square(side=8):
    """Two lesions: the upper left quarter, and the lower right."""
    masks = np.zeros((2, side, side), bool)
    masks[0, : side // 2, : side // 2] = masks[1, side // 2 :, side // 2 :] = True
    return masks


def test_maps_are_measured_by_hand():
    masks = square()
    heat = np.where(masks, 3.0, 1.0)
    found = maps.measured([heat[0], np.ones((8, 8))], masks, maps.bands_of(masks))
    assert found["energy"][0] == pytest.approx(48 / (48 + 48)) and found["pointing"][0] == found["iou"][0] == 1
    assert found["range"].tolist() == [2, 0] and found["constant"].tolist() == [False, True]
    assert np.isnan(found["energy"][1])


def test_a_map_that_every_image_gets_is_common():
    rng = np.random.default_rng(0)
    same = np.tile(rng.random((8, 8)), (5, 1, 1))
    assert maps.common(same) == pytest.approx(np.ones(5))
    assert maps.common(square()) == pytest.approx([-1 / 3] * 2)  # quarters that do not meet
    assert np.isnan(maps.common(np.ones((3, 4, 4)))).all() and np.isnan(maps.common(same[:1])).all()


def test_a_coarse_map_of_the_mask_is_a_ceiling_and_a_flat_map_has_the_area():
    masks = square()
    assert np.ptp(maps.on_grid(masks, (1, 1))) == 0
    assert np.array_equal(maps.on_grid(masks, (8, 8)) > 0, masks)
    key = pd.DataFrame(
        {"image_id": ["a", "b"], "lesion_id": np.nan, "patient_id": np.nan, "dataset": "d", "split": "s"}
    )
    blind = maps.blind_table(key, masks, (2, 2))
    assert blind["energy_flat"].tolist() == [0.25, 0.25]
    assert (
        (blind["energy_grid"] > 0.5).all() and (blind["energy_grid"] < 1).all() and (blind["pointing_grid"] == 1).all()
    )
    assert {f"{name}{end}" for name in maps.MEASURED for end in ("_centre", "_random", "_grid")} <= set(blind)


def seen_maps(n=30):
    """Maps of two seeds: attention with energy 0.6, Grad-CAM++ with 0.5; of each seed one attention map is constant."""
    rows = []
    for seed in (0, 1):
        for kind, energy in (("attention", 0.6), ("Grad-CAM++", 0.5)):
            for k in range(n):
                flat = kind == "attention" and k == n - 1
                each = dict.fromkeys(maps.SHOWN, np.nan if flat else energy)
                key = {"row": "proposed", "kind": kind, "seed": seed, "image_id": f"i{k}"}
                rows.append(key | each | {"constant": flat, "range": 0.0 if flat else 0.3})
    blind = pd.DataFrame({"image_id": [f"i{k}" for k in range(n)], "lesion_id": np.nan, "patient_id": np.nan})
    blind = blind.assign(dataset="ham10000", split="grouped", energy_flat=0.7, band_flat=0.2)
    for end, level in (("_centre", 0.65), ("_random", 0.1), ("_grid", 0.9)):
        blind = blind.assign(**{f"{name}{end}": level for name in maps.MEASURED})
    return pd.DataFrame(rows), blind


def test_attention_is_compared_with_every_other_map():
    frame = looks.attention_maps(*seen_maps(), **FEW)
    assert value(frame, "proposed", "energy") == pytest.approx(0.6) and value(frame, "proposed", "constant") == 1
    assert value(frame, "Grad-CAM++ of proposed", "band") == pytest.approx(0.5)
    assert value(frame, "proposed - Grad-CAM++ of proposed", "energy_diff") == pytest.approx(0.1)
    assert value(frame, "proposed - Grad-CAM++ of proposed", "energy_diff", "n") == 29
    assert value(frame, "proposed", "common") == pytest.approx(0.6)
    judged = verdicts(side.as_changes(frame))
    assert judged.loc["proposed - centred blob", "energy"] == "harms"
    assert judged.loc["proposed - random blob", "energy"] == "helps"
    assert ("flat map", "pointing") not in set(zip(frame["row"], frame["metric"], strict=True))
    few = looks.attention_maps(*seen_maps(5), **FEW)
    assert np.isnan(value(few, "proposed", "energy", "low")) and np.isnan(
        value(few, "proposed - flat map", "energy_diff")
    )


def test_the_gallery_has_the_best_the_median_and_the_worst_of_those_found_and_missed():
    label = np.array([2, 2, 2, 2, 2, 2, 0, 2])
    predictions = table((2, 2, 2, 2, 0, 1, 2, 2), label=label)
    energy = pd.DataFrame({"image_id": IDS[:8], "energy": [0.1, 0.9, 0.5, 0.4, 0.3, 0.2, 1.0, np.nan]})
    chosen = looks.cases(predictions, energy, "mel")
    named = {(one.outcome, one.place): one.image_id for one in chosen.itertuples()}
    assert named == {
        ("TP", "best"): "i01", ("TP", "median"): "i02", ("TP", "worst"): "i00",
        ("FN", "best"): "i04", ("FN", "worst"): "i05",
    }  # fmt: skip
    assert value(looks.cases_table(chosen, dataset="d", split="s"), "FN, worst", "energy") == 0.2


def test_each_choice_is_compared_with_concatenation_on_common_seeds(runs):
    assert side.choices(runs) == {
        "concatenate": "proposed", "gate": "choice/gate", "no reconstruction": "choice/no_reconstruction",
        "mask 1, reconstruction 10": "weights/1-10",
    }  # fmt: skip
    frame = side.fusion_choices(runs, **FEW)
    assert value(frame, "concatenate", "accuracy") == 1  # seed 0 alone
    assert value(frame, "gate", "accuracy_diff") == pytest.approx(-3 / 8)
    assert value(frame, "no reconstruction", "dice_diff") == pytest.approx(2 / 3 - (6 + 4 / 3) / 8)
    assert verdicts(side.as_changes(frame)).loc["gate", "accuracy"] == "harms"
    alone = side.fusion_choices({name: one for name, one in runs.items() if name.startswith("proposed")}, **FEW)
    assert set(alone["row"]) == {"concatenate"}


def test_less_data_with_and_without_pretrained_weights(runs):
    arms_of = side.transfer_arms(runs)
    assert arms_of["baseline", "imagenet", 1.0] == "baseline" and len(arms_of) == 4
    frame = side.transfer(runs, **FEW)
    assert value(frame, "baseline, imagenet, 10 %", "accuracy") == 5 / 8
    assert value(frame, "baseline, none, 100 %", "train_seconds") == 10
    # few images with weights: 5 of 8, macro recall (1/2 + 0 + 4/5) / 3, as without and all of them
    assert value(frame, "baseline, imagenet, 10 % - none, 100 %", "macro_recall_diff") == 0
    gain = (1 / 2 + 4 / 5) / 3 - 1 / 3
    assert value(frame, "baseline, imagenet - none, 10 %", "macro_recall_diff") == pytest.approx(gain)
    assert value(frame, "baseline, none, 10 % - 100 %", "macro_recall_diff") == pytest.approx(-gain)
    assert side.transfer_row("proposed", "imagenet", 0.1) == "imagenet, 10 %"
    assert side.transfer({name: one for name, one in runs.items() if "transfer" not in name}).empty
    figure = pictures.transfer(frame, "baseline")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ImageNet weights", "from scratch"]


def test_small_faint_and_disturbed_by_hand(runs):
    one = {name: each for name, each in runs.items() if name.endswith("seed0")}
    pair = {name: arms.ladder(one)[name] for name in ("baseline", "proposed")}
    hard = pd.DataFrame({"image_id": IDS, "area": np.arange(len(IDS)), "contrast": np.nan})
    poorer = [table(FAIR).assign(network=name, kind="blur", level=level) for name in pair for level in (0.01, 0.03)]
    raw = {"proposed": one["proposed/seed0"].segmentation()}
    levels = ((0.01, 4), (0.03, 0))
    smudged = [
        outline((found,) * 8)[list(side.OUTLINED)].assign(network="proposed", kind="blur", level=k)
        for k, found in levels
    ]
    frame = side.small_and_noisy(pair, side.strata(hard), pd.concat(poorer), raw, pd.concat(smudged), **FEW)
    assert value(frame, "small lesions", "accuracy", "n") == len(IDS) // 3
    assert (
        value(frame, "baseline, small lesions", "accuracy") == 5 / 8 and value(frame, "small lesions", "accuracy") == 1
    )
    assert value(frame, "small lesions", "dice") == pytest.approx((6 + 4 / 3) / 8)
    assert value(frame, "large lesions: proposed - baseline", "accuracy_diff") == pytest.approx(3 / 8)
    assert value(frame, "blur", "accuracy") == value(frame, "blur 0.01", "accuracy") == 5 / 8
    assert value(frame, "proposed: blur - untouched", "accuracy_diff") == pytest.approx(-3 / 8)
    assert value(frame, "blur: proposed - baseline", "accuracy_diff") == 0
    assert value(frame, "blur 0.01", "dice") == pytest.approx(2 / 3) and value(frame, "blur", "dice") == 0
    assert value(frame, "proposed: blur - untouched", "dice_diff") == pytest.approx(-(6 + 4 / 3) / 8)
    assert not frame["row"].str.contains("contrast").any()  # nobody measured it
    figure = pictures.side_by_side(frame, ["small lesions", "blur"], ("accuracy",))
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["small lesions", "blur 0.03"]


def test_every_seed_stands_apart(runs):
    frame = side.seeds(runs)
    assert value(frame, "proposed, seed 0", "accuracy") == 1 and value(frame, "proposed, seed 1", "accuracy") == 5 / 8
    assert value(frame, "proposed, seed 0", "dice") == pytest.approx((6 + 4 / 3) / 8) and frame["low"].isna().all()
    figure = pictures.seeds(frame, published(paper.PAPER, "fig2"), ("accuracy",))
    ours, theirs = figure.axes[0].lines
    assert len(ours.get_xdata()) == 5 and list(theirs.get_ydata()) == [0.870, 0.895, 0.908, 0.924]


def test_half_widths():
    frame = pd.DataFrame({"metric": ["a_change"] * 2 + ["a"], "low": [0.0, 0.1, 0], "high": [0.2, 0.5, 9]})
    assert half_widths(frame).loc["a", ["min", "max", "count"]].tolist() == pytest.approx([0.1, 0.2, 2])


def test_other_sets_are_tried_where_they_are(tmp_path):
    (tmp_path / "pad_ufes_20" / "images").mkdir(parents=True)
    there, said = external.sets_at_hand(tmp_path, trained_on="isic2019")
    assert there == ["pad_ufes_20"] and len(said) == 2
    assert said[0].startswith("NOT RUN") and "isic2018/" in said[0] and "trained on it" in said[1]


def test_other_sets_by_hand():
    far = pd.concat([table(calls).assign(network=name, dataset="pad_ufes_20") for name, calls in
                     (("baseline", ALWAYS), ("proposed", RIGHT))])  # fmt: skip
    frame = external.external(far, PROPOSED, **FEW)
    assert value(frame, "proposed, pad_ufes_20", "recall_scc") == 1
    said = "every resample alike: too few rows, or nothing to vary; there SCC"
    assert value(frame, "baseline, pad_ufes_20", "recall_scc", "note") == said
    assert value(frame, "pad_ufes_20: proposed - baseline", "accuracy_diff") == pytest.approx(3 / 8)
    assert external.external(pd.DataFrame(), PROPOSED).empty


def test_pictures_of_maps_share_their_scales():
    case = {"title": "t", "image": np.full((8, 8, 3), 90, np.uint8), "mask": square()[0]}
    cases = [case | {"attention": np.full((8, 8), level), "cam": np.full((8, 8), 5 * level)} for level in (0.2, 0.8)]
    figure = pictures.attention_gallery(cases)
    limits = [axis.images[0].get_clim() for axis in figure.axes[:6]]
    assert limits[1] == limits[4] == (0, 1) and limits[2] == limits[5] == (0, 4)
    with pytest.raises(ValueError, match="at least one case"):
        pictures.attention_gallery([])


def test_a_class_that_stands_in_is_named():
    assert pictures.class_words(arms.codes(PROPOSED)) == ["bcc", "scc (AKIEC)", "mel"]
    assert pictures.class_words({"scc": "SCC"}) == ["scc"]


def test_matrices_of_three_variants_leave_the_fourth_place_empty(runs):
    tables = {name: arms.ladder(runs)[name] for name in ("baseline", "attention", "proposed")}
    figure = pictures.matrices(tables, list(OF))
    assert [axis.get_title() for axis in figure.axes] == ["baseline", "attention", "proposed", ""]
    assert not figure.axes[3].axison


def test_published_steps_are_drawn_and_a_metric_of_another_row_is_not_compared():
    note = "no evidence (p = 0.5000)"
    cells = [
        ("a", "accuracy_change", 0.01, 0.054),
        ("b", "accuracy_change", 0.02, np.nan),
        ("b", "dice_change", 0.0, np.nan),
    ]
    frame = pd.DataFrame(cells, columns=["row", "metric", "ours", "published"]).assign(low=-0.1, high=0.1, note=note)
    found = verdicts(frame)
    assert found.loc["a", "dice"] == "not compared" and in_words(found)[0].endswith("not compared: dice")
    figure = results.changes(frame, found, ("accuracy", "dice"))
    assert [0.054] == [x for line in figure.axes[0].lines for x in line.get_xdata() if x == 0.054]
    assert [text.get_text() for text in figure.legends[0].get_texts()][-1] == "published"


def test_what_post_processing_changed_is_drawn_with_three_outlines():
    lesion = square()[0]
    lines = {"truth": lesion, "raw": ~lesion, "post-processed": np.zeros_like(lesion)}
    figure = pictures.touched([{"image": np.full((8, 8, 3), 90, np.uint8), "title": "t", "lines": lines}])
    assert len(figure.axes[0].collections) == 2  # the empty one has no line
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(pictures.LINES)
