import pytest

from fitx.errors import UsageError
from fitx.experiment.check import read
from fitx.training.resumption.changes import (
    Change,
    change_notes,
    compare_environment,
    compare_experiments,
    refuse_incompatible,
)

EXPERIMENT = """
name: mine
step: supervised
model: {name: sequential, layers: [{name: dense, units: 3}, {name: dropout, rate: 0.5}]}
optimizer: {name: adam, learning_rate: 0.01}
loss: mse
metrics: [mae]
data: {name: random, rows: 64, features: 4}
fit: {epochs: 3}
callbacks: [{name: early_stopping, monitor: loss, patience: 2}]
"""


@pytest.fixture
def experiment(tmp_path):
    """Read the experiment, changed by words."""
    file = tmp_path / "mine.yaml"
    file.write_text(EXPERIMENT)
    return lambda *words: read(str(file), words)


@pytest.fixture
def verdicts(experiment):
    """Return the changes that words make to the experiment, each with its verdict."""

    def verdicts(*words):
        return {str(c): c.verdict for c in compare_experiments(experiment(), experiment(*words))}

    return verdicts


def test_an_experiment_does_not_differ_from_itself(verdicts):
    assert verdicts() == {}


@pytest.mark.parametrize(
    ("word", "change"),
    [
        ("name=other", "name: mine -> other"),
        ("fit.epochs=5", "fit.epochs: 3 -> 5"),
        ("callbacks.0.patience=7", "callbacks.0.patience: 2 -> 7"),
        ("~callbacks.0", "callbacks.0: early_stopping -> not set"),
        ("callbacks+={name: csv_logger, filename: a}", "callbacks.1: not set -> csv_logger"),
        ("checkpoint.keep=9", "checkpoint.keep: 2 -> 9"),
        ("checkpoint.every=epoch", "checkpoint.every: auto -> epoch"),
        ("expect={loss: '< 1'}", "expect.loss: not set -> < 1"),
    ],
)
def test_what_does_not_touch_the_numbers_is_harmless(verdicts, word, change):
    assert verdicts(word) == {change: "harmless"}


@pytest.mark.parametrize(
    ("word", "change"),
    [
        ("seed=7", "seed: 0 -> 7"),
        ("data.batch_size=8", "data.batch_size: 32 -> 8"),
        ("data={name: digits}", "data.name: random -> digits"),
        ("loss=mae", "loss.name: mse -> mae"),
        ("fit.steps_per_epoch=1", "fit.steps_per_epoch: null -> 1"),
        ("fit.validation_steps=1", "fit.validation_steps: null -> 1"),
        ("fit.validation_freq=2", "fit.validation_freq: 1 -> 2"),
        ("execution.mode=plain", "execution.mode: auto -> plain"),
        ("execution.threads=1", "execution.threads: null -> 1"),
        ("execution.deterministic=true", "execution.deterministic: false -> true"),
        ("optimizer.learning_rate=1e-3", "optimizers.model.learning_rate: 0.01 -> 0.001"),
        (
            "optimizer.learning_rate={name: cosine_decay, decay_steps: total, "
            "initial_learning_rate: 1}",
            "optimizers.model.learning_rate: 0.01 -> cosine_decay",
        ),
        ("model.layers.1.rate=0.1", "networks.model.layers.1.rate: 0.5 -> 0.1"),
        ("model.layers.0.units=9", "networks.model.layers.0.units: 3 -> 9"),
        ("~model.layers.1", "networks.model.layers.1: dropout -> not set"),
    ],
)
def test_what_changes_the_numbers_is_inexact(verdicts, word, change):
    assert verdicts(word) == {change: "inexact"}


@pytest.mark.parametrize(
    ("word", "change"),
    [
        ("model={name: linear}", "networks.model.name: sequential -> linear"),
        ("optimizer.name=sgd", "optimizers.model.name: adam -> sgd"),
        ("metrics=[mse]", "metrics.0.name: mae -> mse"),
        ("metrics+=mse", "metrics.1: not set -> mse"),
    ],
)
def test_what_has_other_variables_is_incompatible(verdicts, word, change):
    assert verdicts(word) == {change: "incompatible"}


def test_an_optimizer_that_is_added_or_removed_is_incompatible(experiment):
    frozen = experiment("~optimizer", "fit.epochs=0")
    removed, added = (
        compare_experiments(experiment(), frozen),
        compare_experiments(frozen, experiment()),
    )
    for changes, word in ((removed, "-> not set"), (added, ": not set ->")):
        (change,) = (c for c in changes if c.key == "optimizers.model")
        assert word in str(change) and change.verdict == "incompatible"


def test_another_step_is_incompatible_and_its_options_are_not_listed(experiment):
    other = experiment("step=low_level", "~loss", "~metrics", "~callbacks")
    (change,) = (c for c in compare_experiments(experiment(), other) if c.key.startswith("step"))
    assert (str(change), change.verdict) == ("step.name: supervised -> low_level", "incompatible")


@pytest.mark.parametrize(
    "word",
    [
        "model.layers.0.use_bias=true",
        "model.layers.1.seed=null",
        "optimizer.name=Adam",
        "optimizer.beta_1=0.9",
        "loss=mean_squared_error",
        "loss={name: mse, reduction: sum_over_batch_size}",
        "data.shuffle=true",
    ],
)
def test_a_default_that_is_written_out_and_another_name_of_one_part_are_no_change(verdicts, word):
    assert verdicts(word) == {}


def test_a_variable_is_compared_by_what_it_stands_for_and_shown_as_it_is_written(
    experiment, monkeypatch
):
    monkeypatch.setenv("RATE", "0.01234")
    word = "optimizer.learning_rate=${env:RATE}"
    before = experiment(word)
    assert compare_experiments(before, experiment(word)) == []
    assert compare_experiments(before, experiment("optimizer.learning_rate=0.01234")) == []

    monkeypatch.setenv("RATE", "0.04321")
    (change,) = compare_experiments(before, experiment(word))
    key = "optimizers.model.learning_rate"
    assert str(change) == f"{key}: ${{env:RATE}} now has another value"
    assert change.verdict == "inexact"
    (change,) = compare_experiments(before, experiment("optimizer.learning_rate=0.5"))
    assert str(change) == f"{key}: ${{env:RATE}} -> 0.5"


def test_a_secret_is_not_shown_wherever_it_stands(experiment, monkeypatch):
    monkeypatch.setenv("SECRET", "hunter2")
    added = "callbacks+={name: csv_logger, filename: '${env:SECRET}'}"
    other = "callbacks={name: npz, path: '${env:SECRET}.npz', class_weight: {0: 2}}"
    for words in ([added], [other.replace("callbacks", "data")], ["name=${env:SECRET}"]):
        changes = compare_experiments(experiment(), experiment(*words))
        assert changes and "hunter2" not in repr(changes)


def test_data_may_lie_elsewhere_for_its_numbers_are_compared(experiment, tmp_path):
    first, second = (experiment(f"data={{name: npz, path: {name}.npz}}") for name in "ab")
    (change,) = compare_experiments(first, second)
    assert (change.key, change.verdict) == ("data.path", "harmless")


def test_long_values_are_cut_where_they_still_differ():
    cut = Change("data.path", "a" * 200, "b", "harmless")
    assert str(cut) == f"data.path: {'a' * 85}...{'a' * 12} -> b"
    old, new = (f"{'a' * 100}{middle}{'a' * 100}" for middle in "bc")
    assert str(Change("data.path", old, new, "harmless")) == f"data.path: {old} -> {new}"


FACTS = {
    "python": "3.11.7",
    "platform": "Linux-6.1",
    "machine": "x86_64",
    "processor": "A CPU",
    "versions": {"keras": "3.15.1", "numpy": None},
    "variables": {},
    "host": "one",
    "device_kind": "cpu",
    "threads": 2,
    "precision": "float32",
    "strategy": "default",
    "replicas": 1,
    "data": {"train": {"rows": 64, "sha256": "ab" * 32}},
}


def test_an_environment_does_not_differ_from_itself_nor_by_what_does_not_matter():
    other = {**FACTS, "python": "3.11.9", "platform": "Linux-6.2", "host": "another"}
    assert compare_environment(FACTS, other) == []


@pytest.mark.parametrize(
    ("fact", "change"),
    [
        ({"python": "3.12.7"}, "python: 3.11 -> 3.12"),
        ({"machine": "aarch64"}, "machine: x86_64 -> aarch64"),
        (
            {"versions": {"keras": "3.15.2", "numpy": None}},
            "versions.keras: 3.15.1 -> 3.15.2",
        ),
        (
            {"variables": {"TF_ENABLE_ONEDNN_OPTS": "0"}},
            "variables.TF_ENABLE_ONEDNN_OPTS: not set -> 0",
        ),
        ({"device_kind": "gpu"}, "device_kind: cpu -> gpu"),
        ({"threads": 4}, "threads: 2 -> 4"),
        ({"precision": "float64"}, "precision: float32 -> float64"),
        ({"strategy": "mirrored"}, "strategy: default -> mirrored"),
        ({"replicas": 2}, "replicas: 1 -> 2"),
        (
            {"data": {"train": {"rows": 65, "sha256": "ab" * 32}}},
            "data.train.rows: 64 -> 65",
        ),
        (
            {"data": {"train": {"rows": 64, "sha256": "cd" * 32}}},
            "data.train.sha256: abababababab -> cdcdcdcdcdcd",
        ),
    ],
)
def test_another_environment_is_inexact(fact, change):
    (found,) = compare_environment(FACTS, {**FACTS, **fact})
    assert (str(found), found.verdict) == (change, "inexact")


def test_another_processor_is_only_noted():
    changes = compare_environment(FACTS, {**FACTS, "processor": "B CPU"})
    refuse_incompatible(changes)
    assert change_notes(changes) == ["processor: A CPU -> B CPU: the last bits may differ"]


def test_what_only_one_side_knows_is_not_compared():
    assert compare_environment(FACTS, {"threads": 2}) == []
    assert compare_environment({"threads": 2, "versions": 3}, {**FACTS, "versions": 3}) == []


def test_a_hostile_record_neither_writes_to_the_terminal_nor_exhausts_anything():
    deep = []
    for _ in range(900):
        deep = [deep]
    (first, second) = compare_environment(
        {"versions": {"keras": "\x1b[2J"}, "data": deep}, {"versions": {"keras": "3"}, "data": {}}
    )
    assert str(first) == r"versions.keras: '\x1b[2J' -> 3"
    assert str(second) == "data: [[[[...]]]] -> {}"


def test_harmless_changes_are_not_refused(experiment):
    changes = compare_experiments(experiment(), experiment("fit.epochs=5", "~callbacks"))
    refuse_incompatible(changes)
    assert change_notes(changes) == ["callbacks.0: early_stopping -> not set", "fit.epochs: 3 -> 5"]


def test_inexact_changes_are_refused_all_at_once_unless_they_are_allowed(experiment):
    changes = compare_experiments(
        experiment(), experiment("seed=7", "data.batch_size=8", "fit.epochs=5")
    )
    with pytest.raises(UsageError) as error:
        refuse_incompatible(changes)
    assert str(error.value) == (
        "the run cannot be resumed exactly: these changes affect its result:\n"
        "  seed: 0 -> 7\n"
        "  data.batch_size: 32 -> 8\n"
        "Use `--allow-inexact` to resume anyway; the result will no longer be bit-identical."
    )
    assert error.value.exit_code == 2
    refuse_incompatible(changes, allow_inexact=True)
    assert change_notes(changes) == [
        "seed: 0 -> 7: no longer bit-identical",
        "data.batch_size: 32 -> 8: no longer bit-identical",
        "fit.epochs: 3 -> 5",
    ]


def test_what_does_not_fit_is_refused_always(experiment):
    changes = compare_experiments(experiment(), experiment("model={name: linear}", "seed=7"))
    incompatible = (
        "the run cannot be resumed: these changes do not fit its checkpoints:\n"
        "  networks.model.name: sequential -> linear\n"
    )
    with pytest.raises(UsageError) as error:
        refuse_incompatible(changes)
    assert str(error.value) == (
        f"{incompatible}the run cannot be resumed exactly: these changes affect its result:\n"
        "  seed: 0 -> 7\n"
        "Train a new run with `fitx train`."
    )
    with pytest.raises(UsageError) as error:
        refuse_incompatible(changes, allow_inexact=True)
    assert str(error.value) == f"{incompatible}Train a new run with `fitx train`."
