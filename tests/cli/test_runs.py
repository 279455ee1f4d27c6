import json
import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from fitx import checkpoint
from fitx.checkpoint.state_names import part


@pytest.fixture(scope="module")
def before(trained):
    """Return the state of the first run before any other command."""
    _, run = trained
    return {path: path.stat().st_mtime_ns for path in [run, *run.rglob("*")]}


@pytest.fixture(scope="module")
def damaged(trained, tmp_path_factory):
    """Return a copy of the run in which all checkpoints are damaged."""
    copy = tmp_path_factory.mktemp("damaged") / "run"
    shutil.copytree(trained[1], copy)
    for state in copy.glob("checkpoints/*/state.npz"):
        state.write_bytes(state.read_bytes()[:-1])
    return copy


@pytest.fixture(scope="module")
def runs(trained, before, rich, launch, here, damaged):
    """Run the commands that use the first run; most of them in this process."""
    _, run = trained
    launched = launch(rich, "evaluate", run, "--json", "--verbose")
    return {
        "again": here(rich, "train", run / "experiment.yaml", "-q"),
        "best": here(
            rich, "evaluate", f"rich/{run.name}", "--weights", "best", "--split", "validation"
        ),
        "step": here(rich, "evaluate", run, "--step", "supervised", "--smoke", "--json"),
        "damaged": here(rich, "evaluate", damaged),
        "untrained": here(rich, "evaluate", "guide/evaluation", "-q"),
        "smoke": here(rich, "train", "rich.yaml", "--smoke", "--json"),
        "test": launched.result(),
    }


def epochs(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def read(run, name):
    return json.loads((run / name).read_text())


def test_a_run_folder_holds_these_files_and_no_others(trained):
    _, run = trained
    files = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    last = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert last == ["000012", "000018"]
    assert files == {
        "experiment.yaml",
        "metrics.jsonl",
        "run.json",
        "run.lock",
        "summary.json",
        "source/rich.yaml",
        "source/base.yaml",
        "source/narrow.py",
        "source/marks.py",
        "networks/model.keras",
        "networks/best/model.keras",
        *(f"samples/epoch-{epoch}.txt" for epoch in (1, 2, 3)),
        *(f"checkpoints/{name}/{file}" for name in last for file in ("state.npz", "meta.json")),
    }


def test_the_folder_is_named_by_time_and_latest_points_to_it(trained, rich):
    _, run = trained
    assert run.parent == rich / "runs/rich"
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{4}", run.name)


def test_source_holds_the_files_as_given(trained, rich):
    _, run = trained
    for copy in (run / "source").iterdir():
        assert copy.read_bytes() == (rich / copy.name).read_bytes()


def test_the_record_tells_where_a_run_comes_from_and_how_it_ended(trained, rich):
    done, run = trained
    facts = read(run, "run.json")
    assert (facts["status"], facts["name"], facts["seed"]) == ("finished", "rich", 5)
    assert facts["argv"][1:] == ["train", "rich.yaml", "--json", "seed=5"]
    assert facts["cwd"] == str(rich)
    assert facts["versions"]["keras"] == keras.__version__
    assert facts["device"].startswith("CPU (")
    assert (facts["precision"], facts["mode"]) == ("float32", "plain")
    assert facts["threads"] >= 1
    assert facts["git"] is None
    assert {name: split["rows"] for name, split in facts["data"].items()} == {
        "train": 1293,
        "validation": 144,
        "test": 360,
    }
    assert set(facts["plugins"]) == {"source/narrow.py", "source/marks.py"}
    assert all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256 in facts["plugins"].values())
    assert facts["started"] <= facts["ended"]
    assert facts["best"] == done.json["best"]
    assert facts["last"] == "000018"


def test_the_metrics_have_a_line_for_every_epoch(trained):
    _, run = trained
    names = ["loss", "sparse_categorical_accuracy"]
    keys = ["epoch", "step", "seconds", *names, *(f"val_{name}" for name in names)]
    assert [list(line) for line in epochs(run)] == [keys] * 3
    assert [(line["epoch"], line["step"]) for line in epochs(run)] == [(1, 6), (2, 12), (3, 18)]


def test_the_summary_is_what_the_command_printed(trained):
    done, run = trained
    summary = read(run, "summary.json")
    assert done.json == {"run": f"runs/rich/{run.name}", "split": "test", **summary}
    assert list(summary) == [
        *("metrics", "status", "epochs", "steps", "seconds", "examples_per_second", "best"),
        "expect",
    ]
    last = {k: v for k, v in epochs(run)[-1].items() if k not in ("epoch", "step", "seconds")}
    assert summary["metrics"].items() >= last.items()


def test_the_last_checkpoint_loads_and_the_networks_are_its_own(trained):
    _, run = trained
    state, meta = checkpoint.load(run / "checkpoints" / read(run, "run.json")["last"])
    assert (meta["epoch"], meta["step"]) == (3, 18)
    best = part(state, "best/")
    for file, values in (("model.keras", state), ("best/model.keras", best)):
        network = keras.saving.load_model(run / "networks" / file)
        for variable in network.trainable_variables:
            saved = values[f"networks/model/{variable.path}"]
            assert np.array_equal(saved, variable.numpy())


def test_the_experiment_keeps_variables_of_the_environment_as_they_were_written(trained):
    _, run = trained
    text = (run / "experiment.yaml").read_text()
    assert "learning_rate: ${env:TEST_RATE:0.03}\n" in text


def test_progress_goes_to_stderr_a_line_for_every_epoch(trained):
    done, run = trained
    value = r"[-0-9.e+]+"
    values = rf"loss {value}  sparse_categorical_accuracy {value}"
    seconds = r"[0-9.]+(ms|s)"
    rest = "adam; 1,293 examples, 6 steps an epoch"
    pattern = rf"""rich
  supervised: model narrow, 10 softmax outputs, 610 parameters; {rest}
  device  CPU \(\d+ threads?\): TensorFlow sees no GPU \(.+\)
  mode    plain: 54 steps are too few for compiling to pay off
  run     runs/rich/{run.name}
callback Marks: it has no get_state and set_state, so its state is lost .+
epoch 1/9  6 steps  {seconds}  {values}  val_loss {value}  val_sparse_categorical_accuracy {value}
epoch 2/9  6 steps  {seconds}  {values}  val_loss {value}  val_sparse_categorical_accuracy {value}
epoch 3/9  6 steps  {seconds}  {values}  val_loss {value}  val_sparse_categorical_accuracy {value}
stopped early: a callback ended the run after epoch 3
"""
    # What plugins and Keras' callbacks print is theirs, but not on standard output.
    theirs = ("the user's own words\n", "Epoch 3: early stopping\n")
    assert all(text in done.err for text in theirs)
    assert re.fullmatch(pattern, _without(done.err, theirs))


def _without(text, lines):
    for line in lines:
        text = text.replace(line, "")
    return text


def test_standard_output_holds_one_line_of_json_and_nothing_else(trained):
    done, _ = trained
    assert done.out.count("\n") == 1
    assert done.out.endswith("}\n")


def test_experiment_yaml_trains_to_the_same_numbers_in_another_process(runs, trained, rich):
    _, run = trained
    done = runs["again"]
    assert done.code == 0, done.err
    again = rich / done.out.splitlines()[-1].removeprefix("run: ")
    assert again != run
    one, other = ([{**line, "seconds": 0} for line in epochs(r)] for r in (run, again))
    assert one == other
    assert (again / "experiment.yaml").read_text() == (run / "experiment.yaml").read_text()
    assert read(again, "run.json")["data"] == read(run, "run.json")["data"]
    assert (rich / "runs/rich/latest").resolve() == again.resolve()


def test_a_second_run_and_evaluations_leave_the_first_untouched(runs, trained, before):
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_quiet_training_prints_its_results_alone(runs, trained):
    done = runs["again"]
    assert _without(done.err, ["the user's own words\n", "Epoch 3: early stopping\n"]) == ""
    lines = done.out.splitlines()
    names = ["loss", "sparse_categorical_accuracy"]
    every = [*names, *(f"val_{n}" for n in names), *(f"test_{n}" for n in names)]
    width = max(map(len, every))
    assert [line[:width].rstrip() for line in lines[:6]] == every
    assert all(re.fullmatch(r"[0-9.]+", line[width + 2 :]) for line in lines[:6])
    assert lines[6] == "expected test_loss > 0: met"
    assert re.fullmatch(r"run: runs/rich/\d{8}-\d{6}-[0-9a-f]{4}", lines[7])


def test_evaluating_repeats_the_numbers_of_the_test_split(runs, trained):
    _, run = trained
    done = runs["test"]
    assert done.code == 0, done.err
    assert (done.json["split"], done.json["checkpoint"]) == ("test", "000018")
    summary = read(run, "summary.json")["metrics"]
    for name, value in done.json["metrics"].items():
        assert value == pytest.approx(summary[f"test_{name}"], rel=1e-6)


def test_tensorflow_is_silent_unless_asked_to_be_verbose(runs, trained):
    noise = "oneDNN custom operations are on"
    assert noise in runs["test"].err
    quiet = [trained[0].err, *(runs[name].err for name in runs if name != "test")]
    assert not [text for text in quiet if noise in text or "WARNING" in text or "0000 00" in text]


def test_evaluating_repeats_the_numbers_of_the_best_epoch(runs, trained):
    done = runs["best"]
    assert done.code == 0, done.err
    assert trained[0].json["best"]["epoch"] == 1
    best = epochs(trained[1])[trained[0].json["best"]["epoch"] - 1]
    heading, *lines, run = done.out.splitlines()
    assert heading.startswith("rich/") and heading.endswith(" on the validation split:")
    assert run == f"run: runs/rich/{trained[1].name}"
    for line in lines:
        name, value = line.split()
        assert float(value) == pytest.approx(best[f"val_{name}"], rel=1e-5)


def test_another_step_measures_the_same_networks(runs):
    done = runs["step"]
    assert done.code == 0, done.err
    assert done.json["metrics"] == runs["test"].json["metrics"]


def test_a_run_without_a_whole_checkpoint_is_exit_code_7(runs, damaged):
    done = runs["damaged"]
    assert (done.code, done.out) == (7, "")
    assert "no checkpoint is valid:\n" in done.err
    for name in ("000012", "000018"):
        assert f"checkpoint {damaged}/checkpoints/{name} is damaged" in done.err
    assert "Traceback" not in done.err


def test_an_untrained_experiment_is_the_guides_evaluation(runs, rich):
    done = runs["untrained"]
    assert (done.code, done.err) == (0, "")
    heading, *values = done.out.splitlines()
    assert heading == "guide/evaluation on the train split:"
    assert [line.split()[0] for line in values] == ["loss", "mae"]
    assert not list((rich / "runs").glob("evaluation*"))


def test_a_smoke_run_has_a_folder_of_its_own(runs, rich, trained):
    done = runs["smoke"]
    assert done.code == 0, done.err
    run = rich / done.json["run"]
    assert run.parent.name == "rich-smoke"
    assert (done.json["epochs"], done.json["steps"]) == (1, 2)
    assert set(done.json["metrics"]) == set(trained[0].json["metrics"])
    assert (run / "networks/model.keras").is_file()
    assert Path(rich / "runs/rich-smoke/latest").resolve() == run.resolve()


def test_a_plugin_that_was_changed_afterwards_is_refused(fitx, trained, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(trained[1], copy)
    with (copy / "source/narrow.py").open("a") as file:
        file.write("raise SystemExit('imported')\n")
    done = fitx(tmp_path, "evaluate", "run", "--json")
    assert done.code == done.json["code"] == 7
    assert done.err == (
        "run/source/narrow.py has changed since the run was trained; not imported. "
        "Restore the file.\n"
    )


def test_a_damaged_record_is_exit_code_7(fitx, trained, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(trained[1], copy)
    (copy / "run.json").write_text("{")
    done = fitx(tmp_path, "evaluate", "run")
    assert done.code == 7
    assert done.err.startswith("run/run.json is damaged: ")
