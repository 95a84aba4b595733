import layouts
import pandas as pd
import pytest

from skinlib.data.cards import CARDS, SELECTIONS, class_names, kept, relabel
from skinlib.data.readers import read

OFFICIAL_TOTALS = {
    "ham10000": 10015, "isic2016": 1279, "isic2017": 2750, "isic2018_task12": 3694, "isic2018_task3": 11720,
    "isic2019": 25331, "ph2": 200, "pad_ufes_20": 2298,
}  # fmt: skip


@pytest.mark.parametrize("name", CARDS)
def test_a_card_is_consistent_and_has_the_official_totals(name):
    card = CARDS[name]
    assert sum(card.expected(part) for part in card.official or card.counts) == OFFICIAL_TOTALS[name]
    for part, counts in card.counts.items():
        assert sum(counts.values()) == card.expected(part) and tuple(counts) == card.classes
    assert set(card.malignant) <= set(card.classes) and set(card.class_names) == set(card.classes)
    assert card.licence and card.citation and card.source.startswith("https://")
    for archive in card.archives:
        assert archive.url.startswith("https://") and archive.filename.endswith((".zip", ".csv"))
        assert archive.checksum is None or archive.checksum.split(":")[0] in ("md5", "sha256")


def test_malignant_counts_of_the_papers():
    """HAM10000: 8,061 benign and 1,954 malignant; ISIC 2018 Task 3 test: 1,205 and 307."""
    ham, task3 = CARDS["ham10000"], CARDS["isic2018_task3"]
    assert sum(ham.counts["all"][c] for c in ham.malignant) == 1954
    assert sum(task3.counts["test"][c] for c in task3.malignant) == 307


def test_class_names_of_the_spaces():
    assert [c.upper() for c in class_names("ham10000")] == list(class_names("isic2018_task3"))  # an index is the same
    assert class_names("pad_ufes_20") == ("ACK", "BCC", "MEL", "NEV", "SCC", "SEK")
    assert class_names("pad_ufes_20", "malignancy") == ("benign", "malignant")


@pytest.mark.parametrize(("name", "space", "words"), [
    ("ham", "diagnosis", "Unknown data set"), ("ph2", "binary", "Unknown label space"),
    ("isic2018_task12", "diagnosis", "no diagnosis"), ("isic2018_task12", "bcc_scc_mel", "no diagnosis"),
    ("isic2016", "bcc_scc_mel", "isic2016 has no bcc, scc, mel for label space 'bcc_scc_mel'"),
    ("ph2", "bcc_scc_mel", "common_nevus, atypical_nevus, melanoma"),
])  # fmt: skip
def test_class_names_refuses(name, space, words):
    with pytest.raises(ValueError, match=words):
        class_names(name, space)


def _cohort(*pairs):
    return pd.DataFrame(pairs, columns=["dataset", "diagnosis"], index=range(10, 10 + len(pairs)))


def test_relabel_by_hand_and_several_sets_to_malignancy_only():
    cohort = _cohort(("ham10000", "nv"), ("ham10000", "akiec"), ("ham10000", "mel"))
    assert relabel(cohort, "diagnosis")["label"].tolist() == [1, 3, 0]
    assert relabel(cohort, "malignancy")["label"].tolist() == [0, 1, 1] and "label" not in cohort.columns
    with pytest.raises(ValueError, match="no class seborrhoea"):
        relabel(_cohort(("ham10000", "nv"), ("ham10000", "seborrhoea")), "malignancy")
    cohort = _cohort(("ham10000", "nv"), ("ph2", "melanoma"), ("pad_ufes_20", "SCC"), ("isic2016", "benign"))
    assert relabel(cohort, "malignancy")["label"].tolist() == [0, 1, 1, 0]
    with pytest.raises(ValueError, match="different classes"):
        relabel(cohort, "diagnosis")


def test_a_selection_has_the_codes_of_the_set_in_one_order():
    assert class_names("ham10000", "bcc_scc_mel") == ("bcc", "akiec", "mel")  # it has no SCC
    assert class_names("isic2018_task3", "bcc_scc_mel") == ("BCC", "AKIEC", "MEL")
    assert class_names("isic2019", "bcc_scc_mel") == class_names("pad_ufes_20", "bcc_scc_mel") == ("BCC", "SCC", "MEL")
    assert kept("isic2019", "bcc_scc_mel") == ("BCC", "SCC", "MEL")
    assert kept("ham10000", "malignancy") == kept("ham10000", "diagnosis") == CARDS["ham10000"].classes
    for card in CARDS.values():
        assert set(card.stand_ins.values()) <= set(card.classes)
        assert set(card.stand_ins) <= {name for names in SELECTIONS.values() for name in names}
        assert not set(card.stand_ins) & {code.lower() for code in card.classes}
    counts = CARDS["ham10000"].counts["all"]
    assert [counts[code] for code in class_names("ham10000", "bcc_scc_mel")] == [514, 327, 1113]
    counts = CARDS["isic2019"].counts["train"]
    assert [counts[code] for code in class_names("isic2019", "bcc_scc_mel")] == [3323, 628, 4522]


def test_relabel_to_a_selection_leaves_the_other_diagnoses_out():
    cohort = _cohort(*(("ham10000", code) for code in ("mel", "nv", "akiec", "bkl", "bcc", "mel")))
    found = relabel(cohort, "bcc_scc_mel")
    assert found["diagnosis"].tolist() == ["mel", "akiec", "bcc", "mel"]
    assert found["label"].tolist() == [2, 1, 0, 2] and found["label"].dtype == "int64"
    assert found.index.tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="different classes"):
        relabel(_cohort(("ham10000", "mel"), ("isic2019", "MEL")), "bcc_scc_mel")
    with pytest.raises(ValueError, match="no class seborrhoea"):
        relabel(_cohort(("ham10000", "seborrhoea")), "bcc_scc_mel")
    with pytest.raises(ValueError, match=r"no image of bcc, akiec.*'bcc_scc_mel'.*'mel': 2.*read more"):
        relabel(cohort[cohort["diagnosis"].isin(["mel", "nv"])], "bcc_scc_mel")


def test_isic2019_gives_the_selection_with_real_scc(tmp_path):
    layouts.lay_2019(tmp_path)
    found = relabel(read("isic2019", tmp_path, allow_missing=True).replace({"AK": "MEL", "NV": "BCC"}), "bcc_scc_mel")
    assert found["diagnosis"].tolist() == ["BCC", "SCC", "MEL"] and found["label"].tolist() == [0, 1, 2]
    assert found["mask_path"].isna().all()  # the set has no masks
