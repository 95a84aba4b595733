import dataclasses
import itertools
import json

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import given

from skinlib.config import CHOICES, Augment, RunConfig, load_profile

rate = st.floats(1e-6, 1.0)
configs = st.builds(
    RunConfig, variant=st.text(), fold=st.sampled_from([None, 0, 2]),
    image_size=st.tuples(st.integers(8, 512), st.integers(8, 512)),
    augment=st.builds(Augment, flips=st.booleans(), rotation=st.floats(0, 180), erasing=rate),
    options=st.dictionaries(st.text(), st.none() | st.integers() | rate | st.lists(st.integers())),
    losses=st.dictionaries(st.sampled_from(["cross_entropy", "other"]), rate, min_size=1), lr=rate,
    schedule=st.sampled_from(CHOICES["schedule"]), optimiser=st.sampled_from(CHOICES["optimiser"]),
    clip_norm=st.none() | rate, tta=st.sampled_from(CHOICES["tta"]), seed=st.integers(0, 2**31),
)  # fmt: skip


@given(configs)
def test_json_gives_back_an_equal_configuration(config):
    again = RunConfig.from_json(config.to_json())
    assert again == config and again.to_json() == config.to_json()
    assert isinstance(again.image_size, tuple) and isinstance(again.augment, Augment)


def test_every_field_is_in_the_json():
    assert set(json.loads(RunConfig().to_json())) == {field.name for field in dataclasses.fields(RunConfig)}


def test_a_list_is_as_good_as_a_tuple_and_a_whole_number_as_a_broken_one():
    assert RunConfig(image_size=[32, 48]) == RunConfig(image_size=(32, 48))
    assert RunConfig(losses={"cross_entropy": 1}).to_json() == RunConfig(losses={"cross_entropy": 1.0}).to_json()
    assert RunConfig(lr=1, augment=Augment(rotation=90)).lr == 1


def test_a_configuration_cannot_be_changed_only_replaced():
    config = RunConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.lr = 1.0
    assert (config.replace(lr=0.5).lr, config.lr) == (0.5, 1e-3)
    options = {"a": 1}
    config = RunConfig(options=options)
    options["a"] = 2
    assert config.options == {"a": 1}


@pytest.mark.parametrize(("values", "message"), [
    ({"schedule": "linear"}, "schedule is 'linear'.*cosine"), ({"optimiser": "lion"}, "optimiser is 'lion'.*adamw"),
    ({"tta": "many"}, "tta is 'many'.*d4"), ({"image_size": (7, 32)}, "image_size"),
    ({"image_size": (32, 32, 3)}, "image_size"),
    ({"image_size": (32.5, 32)}, r"image_size is \(32.5, 32\); give .* whole numbers"),
    ({"image_size": 64}, "image_size is 64; give"),
    ({"lr": "1e-3"}, r"RunConfig.lr is '1e-3'; give float \(YAML reads 1e-3 as text: write 0.001\)"),
    ({"epochs": "1e2"}, "RunConfig.epochs is '1e2'; give int .*write 100"),
    ({"epochs": 2.5}, "RunConfig.epochs is 2.5; give int$"), ({"seed": True}, "RunConfig.seed is True; give int"),
    ({"allow_missing": "no"}, "RunConfig.allow_missing is 'no'; give bool"),
    ({"folds": None}, "RunConfig.folds is None; give int"),
    ({"visits": "all"}, r"RunConfig.visits is 'all'; give int \| None"),
    ({"augment": {"rotation": "5e-05"}}, "Augment.rotation is '5e-05'; give float .*write 0.00005"),
    *(({name: value}, rf"RunConfig\.{name} is .*; give .* to") for name, value in [
        ("epochs", 0), ("batch_size", 1), ("lr", float("nan")), ("lr", float("inf")), ("lr", -1.0), ("lr", 1e30),
        ("dropout", 1.5), ("label_smoothing", 2.0), ("weight_decay", -1.0), ("clip_norm", -1.0), ("seed", -1),
        ("seed", 2**70), ("split_seed", -1), ("visits", 1), ("momentum", 1.0), ("test_share", -0.1),
    ]),
    ({"augment": {"brightness": 99.0}}, r"Augment\.brightness is 99.0; give 0 to 1"),
    ({"augment": {"zoom": float("nan")}}, r"Augment\.zoom is nan"),
    ({"schedule": "step", "schedule_step": 0}, "schedule_step is 0"),
    *(({"losses": given}, "RunConfig.losses is") for given in ({}, [], {"dice": "x"}, {"dice": -1}, {"dice": 0})),
    ({"options": ["a"]}, r"RunConfig.options is \['a'\]; give a mapping"),
    ({"augment": "x"}, "RunConfig.augment is 'x'; give a mapping"),
    ({"fold": 3, "folds": 3}, "fold is 3; give 0 to 2, or None"), ({"fold": -1}, "fold is -1"),
    ({"learning_rate": 1.0}, "no field learning_rate; it has .*lr"),
    ({"augment": {"fill": "wrap"}}, r"Augment\.fill is 'wrap'"),
    ({"augment": {"flip": True}}, "Augment has no field flip; it has flips"),
])  # fmt: skip
def test_a_wrong_value_is_refused_in_words(values, message):
    with pytest.raises(ValueError, match=message):
        RunConfig.from_dict(values)


def test_profiles_are_read_by_name_or_path(tmp_path):
    assert load_profile("smoke")["name"] == "smoke"
    own = tmp_path / "own.yaml"
    own.write_text("name: own\nlike: smoke\nx: [1]")
    assert (
        load_profile(own)
        == load_profile(str(own))
        == load_profile("smoke") | {"name": "own", "like": "smoke", "x": [1]}
    )


def test_a_profile_that_is_none_or_not_yaml_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no profile 'tiny'.*smoke"):
        load_profile("tiny")
    (tmp_path / "list.yaml").write_text("[1, 2]")
    with pytest.raises(ValueError, match="is no profile"):
        load_profile(tmp_path / "list.yaml")


BOMB = "\n".join(f"{b}: &{b} [{', '.join(['*' + a] * 10)}]" for a, b in itertools.pairwise("abcdefg"))


@pytest.mark.parametrize(("text", "message"), [
    ("x: [1, 2\ny: 3", "own.yaml is not YAML: .*line 3"), ("jobs: 1\njobs: 2", "the key jobs is there twice"),
    (f"a: &a [1, 1, 1]\n{BOMB}", "more than 100,000 values"), ("x: &x [*x]", "not YAML: maximum recursion"),
    ("x: " + "[" * 5000, "not YAML: maximum recursion"), ("threads: 0", "threads is 0: .*greater than or equal to 1"),
    ("threads: lots", "threads is 'lots': .*integer"), ("papers: null", "papers is None: .*list"),
    ("minutes: .nan", "minutes is nan: .*finite"), ("data: hello", "data is 'hello'"), ("bootstrap: -3", "is -3"),
    ("data: {kind: synthetic, imagez: 3}", "data.imagez is 3: Extra inputs are not permitted"),
    ("data: {kind: synthetic, images: 100000000000}", "images is 100000000000: .*less than or equal to 1000000"),
    ("notebooks: {time_limit_minutes: -1}", "notebooks.time_limit_minutes is -1: .*greater than 0"),
    ("data: {kind: reference}", "data.of is empty"), ("notebooks: {}", "notebooks is {}: .*at least 1"),
    ("like: own.yaml", "like is 'own.yaml'; name a profile"),
    ("threads: 0200", "0200 in line 2 is read as another number"), ("jobs: 1:30", "1:30 in line 2 is read as another"),
    ("paper_a: {seeds: []}", "paper_a.seeds is empty"),
    ("arithmetic: fast", "arithmetic is 'fast': .*'pinned'"), ("like: [smoke]", "no profile .'smoke'."),
])  # fmt: skip
def test_a_wrong_profile_is_refused_in_one_line(tmp_path, text, message):
    (tmp_path / "own.yaml").write_text(f"name: own\n{text}" + "\nlike: smoke" * ("like" not in text))
    with pytest.raises(ValueError, match=message) as error:
        load_profile(tmp_path / "own.yaml")
    assert "\n" not in str(error.value)


def test_a_number_that_yaml_takes_for_text_is_refused_wherever_it_stands(tmp_path):
    (tmp_path / "own.yaml").write_text("name: own\npaper_a: {members: [{lr: 0.1}, {lr: 1e-3}]}\n")
    with pytest.raises(ValueError, match=r"own.yaml: paper_a.members.1.lr is '1e-3' .*write 0.001"):
        load_profile(tmp_path / "own.yaml")


def test_a_changed_copy_needs_a_name_of_its_own(tmp_path):
    copy, values = tmp_path / "copy.yaml", load_profile("smoke")
    copy.write_text(yaml.safe_dump(values))
    assert load_profile(copy) == values
    copy.write_text(yaml.safe_dump(values | {"papers": values["papers"][:1]}))
    assert load_profile(copy)["papers"] == values["papers"][:1]
    copy.write_text(yaml.safe_dump(values | {"bootstrap": 7}))
    with pytest.raises(ValueError, match=r"copy.yaml has the name of .*smoke.yaml .*; give it a name of its own"):
        load_profile(copy)
    copy.write_text(yaml.safe_dump(values | {"bootstrap": 7, "name": "mine"}))
    assert load_profile(copy)["bootstrap"] == 7
