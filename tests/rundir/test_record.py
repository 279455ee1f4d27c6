import pytest

from fitx.errors import StorageError
from fitx.rundir import record

BEST = {"monitor": "val_loss", "mode": "min", "epoch": 3, "value": float("nan")}


def test_a_run_starts_as_running_with_its_facts(tmp_path, whole_record):
    record.start(tmp_path, whole_record(best=BEST))

    facts = record.load(tmp_path)
    assert facts["status"] == "running"
    assert facts["started"].endswith(" UTC")
    assert facts["ended"] is None
    assert (facts["name"], facts["best"]["value"]) == ("digits", "nan")


def test_changes_are_on_disk_at_once_and_an_end_is_dated(tmp_path, whole_record):
    started = record.start(tmp_path, whole_record())
    started.update(seed=7)
    assert record.load(tmp_path)["seed"] == 7
    started.update(status="finished")

    facts = record.load(tmp_path)
    assert (facts["status"], facts["name"], facts["seed"]) == ("finished", "digits", 7)
    assert facts["ended"] >= facts["started"]
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_a_reopened_record_goes_on_where_it_was(tmp_path, whole_record):
    record.start(tmp_path, whole_record()).update(status="interrupted")
    record.reopen(tmp_path).update(status="running")

    facts = record.load(tmp_path)
    assert (facts["status"], facts["ended"], facts["name"]) == ("running", None, "digits")


def test_an_unknown_status_changes_nothing(tmp_path, whole_record):
    started = record.start(tmp_path, whole_record())
    with pytest.raises(ValueError, match="diverged, not 'done'"):
        started.update(status="done")
    assert started.facts["status"] == record.load(tmp_path)["status"] == "running"


DAMAGE = {
    "[]": "expected an object, found []",
    '"running"': 'expected an object, found "running"',
    "{}": "python: missing",
    '{"threads": 2, "threads": 3}': "it has the key 'threads' twice in one object",
    '{"threads": NaN}': "NaN is not a JSON number",
}


@pytest.mark.parametrize("content", DAMAGE)
def test_a_file_that_is_no_record_is_damaged(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(StorageError) as error:
        record.load(tmp_path)
    assert str(error.value) == f"{tmp_path}/run.json is damaged: {DAMAGE[content]}"


FIELDS = {
    "threads": (100_000, "threads: expected less than or equal to 4096, found 100000"),
    "replicas": (0, "replicas: expected greater than or equal to 1, found 0"),
    "seed": (True, "seed: expected an integer, found true"),
    "data": (
        {"train": {"rows": -1, "sha256": 64 * "0"}},
        "data.train.rows: expected greater than or equal to 0, found -1",
    ),
    "plugins": (
        {"\x1b[2J": 5},
        "plugins.\\u001b[2J: expected a string, found 5",
    ),
    "references": (
        {"data.batch_size": "\ud800$"},
        "references.data.batch_size: expected ",
    ),
    "resumed": ([7], "resumed[0]: expected an object, found 7"),
    "token": ("x", "token: unknown; this version of fitx writes no such field"),
}


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_that_no_run_can_have_is_named(tmp_path, whole_record, field):
    value, text = FIELDS[field]
    record.start(tmp_path, whole_record(**{field: value}))
    with pytest.raises(StorageError) as error:
        record.load(tmp_path)
    assert str(error.value).startswith(f"{tmp_path}/run.json is damaged: {text}")


def test_words_of_the_command_line_that_are_no_text_are_read_back(tmp_path, whole_record):
    record.start(tmp_path, whole_record(argv=["fitx", "train", "caf\udce9.yaml"]))
    assert record.load(tmp_path)["argv"][-1] == "caf\udce9.yaml"


@pytest.mark.parametrize("field", ["threads", "id", "plugins", "references", "mode"])
def test_a_field_that_is_missing_is_named(tmp_path, whole_record, field):
    facts = whole_record()
    del facts[field]
    record.start(tmp_path, facts)
    with pytest.raises(StorageError, match=rf"run.json is damaged: {field}: missing$"):
        record.load(tmp_path)
