"""Run folders with a mistake in one file: refused by name, or taken for what they then say.

A case is known by its file and its number: `forge(run, file, number)` makes it again.
"""

import json
import shutil
from dataclasses import dataclass

import numpy as np
import pytest

from fitx import checkpoint

from .conftest import Guarded
from .forging import FILES, META, STATE, encoded, forge, signed

CASES = {
    "run.json": (100, 4000),
    "summary.json": (60, 2000),
    META: (160, 7000),
    "metrics.jsonl": (90, 3000),
    "experiment.yaml": (60, 3000),
    STATE: (30, 1000),
}
"""How many mistakes are tried: 500, and 20,000 in `make soak`."""

TRAINED_EVERY = {True: 4, False: 24}
"""One in so many cases is resumed to its end: of those with a whole checkpoint, and of the others.

What is wrong with a checkpoint is found again when it is resumed, once the networks are built.
"""

LIGHT = 88
"""The exit code of a command that was stopped when it imported TensorFlow."""

REFUSED = (2, 7)
ENDED = {"experiment.yaml": (3, 4, 5, 6), STATE: (5,)}
"""Exit codes of a resumed run whose experiment, or whose numbers, may be a user's own."""

MOST_FAILURES = 5

EXPERIMENT = """
name: mine
step: supervised
model: {name: mlp, units: [3]}
optimizer: adam
loss: mse
data: {name: npz, path: data.npz, batch_size: 4, validation_split: 0.25}
fit: {epochs: 3}
checkpoint: {every: 1 steps, keep: 1, monitor: val_loss}
callbacks:
- {name: early_stopping, monitor: val_loss, patience: 9, restore_best_weights: true}
- {name: csv_logger, filename: log.csv}
execution: {mode: plain, threads: 2}
"""

FREE = {
    "run.json": ("mode", "evaluation_mode", "smoke", "pending_experiment", "resumed", "data"),
    META: (
        *("meta.stopping", "meta.callbacks", "meta.callback_options", "meta.built_rates"),
        *("meta.best", "meta.seconds", "meta.begun", "position"),
    ),
    "metrics.jsonl": ("loss", "val_loss", "seconds", "more"),
    "experiment.yaml": ("",),
    STATE: ("",),
    "summary.json": ("metrics.test_", "seconds", "examples_per_second", "best", "expect"),
}
"""What a user's own run may say otherwise, so that another result is a right one.

Of a position only one that everything else agrees with is taken: see `forge_position`.
"""


class Folder:
    """What a run was trained in; copies of its folder are forged, and read by commands."""

    def __init__(self, process, light, place, trained):
        self.process, self.light, self.place, self.trained = process, light, place, trained
        self.run = place / "run"

    def renew(self, name):
        shutil.rmtree(self.run, ignore_errors=True)
        shutil.copytree(self.trained[name], self.run)

    def ask(self, *words, is_light):
        process = self.light if is_light else self.process
        answer = process.ask(folder=self.place, words=words, is_light=is_light)
        said = answer["out"] + answer["err"]
        assert "Traceback" not in said and "bug in fitx" not in said, said[-3000:]
        assert "\x1b" not in said and len(said) < 20_000, said[:3000]
        assert answer["seen"] == []
        assert answer["megabytes"] < 300
        assert answer["code"] in (0, LIGHT, 143) or answer["err"].strip()
        assert answer["code"] != 7 or any(name in said for name in (*FILES, "checkpoint run/")), (
            said
        )
        return answer

    def outcome(self):
        """Return all that a run came to, without its times."""
        lines = (self.run / "metrics.jsonl").read_text().splitlines()
        values = [json.loads(line) for line in lines]
        (last,) = (self.run / "checkpoints").iterdir()
        state, meta = checkpoint.load(last)
        times = ("seconds", "begun", "journal_bytes", "run")
        return {
            "epochs": [{k: v for k, v in line.items() if k != "seconds"} for line in values],
            "metrics": json.loads((self.run / "summary.json").read_text())["metrics"],
            "state": {name: np.asarray(array).tobytes() for name, array in state.items()},
            "meta": {key: value for key, value in meta.items() if key not in times},
        }


@pytest.fixture(scope="module")
def folder(tmp_path_factory, home):
    """A run that was stopped within an epoch, one that is finished, and what they come to."""
    place = tmp_path_factory.mktemp("forged")
    draw = np.random.default_rng(0).normal
    x, y = draw(size=(16, 2)), draw(size=(16, 1))
    np.savez(place / "data.npz", x=x.astype("float32"), y=y.astype("float32"))
    (place / "mine.yaml").write_text(EXPERIMENT)
    trained = {}
    with Guarded(home) as process, Guarded(home) as light:
        for name, words in {"stopped": ("--stop-after", "5"), "finished": ()}.items():
            command = ["train", "mine.yaml", "-q", "--out", name, *words]
            answer = process.ask(folder=place, words=command, is_warming=True)
            assert answer["code"] in (0, 143), answer["err"]
            (trained[name],) = (place / name).glob("mine/2*")
        made = Folder(process, light, place, trained)
        made.renew("finished")
        made.said = made.ask("resume", "run", "--json", is_light=True)["out"]
        made.expected = made.outcome()
        made.renew("stopped")
        assert made.ask("resume", "run", "-q", is_light=False)["code"] == 0
        assert made.outcome() == made.expected
        yield made


def is_free(forgery):
    """Whether another result than that of the run that was not forged may be right."""
    is_bytes = forgery.key == ("bytes",)
    return is_bytes or forgery.field.startswith(FREE[forgery.file])


@dataclass
class Case:
    """A mistake, what of it the commands said, and whether it is to be resumed."""

    file: str
    number: int
    name: str
    forgery: object = None
    is_whole: bool = False
    is_refused: bool = False

    def read(self, folder):
        """Forge a copy of a run and read it by every command that can do without TensorFlow."""
        folder.renew(self.name)
        self.forgery = forge(folder.run, self.file, self.number)
        answer = folder.ask("checkpoints", "run", is_light=True)
        assert answer["code"] in (0, 7)
        self.is_whole = answer["code"] == 0
        words = ("resume", "run", "--json") if self.name == "finished" else ("resume", "run", "-q")
        if self.number % 4 == 1 and self.name == "stopped":
            words = (*words, "fit.epochs=4", "optimizer.learning_rate=0.5", "--allow-inexact")
        answer = folder.ask(*words, is_light=True)
        self.is_refused = answer["code"] in REFUSED
        assert answer["code"] in (0, LIGHT, *REFUSED), answer
        if answer["code"] == 0:
            assert answer["out"] == folder.said or is_free(self.forgery), answer["out"]
        if self.name == "finished":
            answer = folder.ask("evaluate", "run", "-q", is_light=True)
            assert answer["code"] in (LIGHT, *REFUSED), answer

    def resume(self, folder):
        """Resume it to its end: what comes out is right, or an error names what is not."""
        folder.renew(self.name)
        forge(folder.run, self.file, self.number)
        answer = folder.ask("resume", "run", "-q", "--stop-after", "12", is_light=False)
        if not self.is_whole:
            assert answer["code"] == 7, answer
            return
        assert answer["code"] in (0, 143, *ENDED.get(self.file, ()), *REFUSED), answer
        if answer["code"] == 0 and not is_free(self.forgery):
            assert folder.outcome() == folder.expected
        if answer["code"] in (0, 143):
            answer = folder.ask("checkpoints", "run", is_light=True)
            assert answer["code"] == 0 and "damaged" not in answer["out"], answer
            lines = (folder.run / "metrics.jsonl").read_text().splitlines()
            epochs = [json.loads(line)["epoch"] for line in lines]
            assert epochs == list(range(1, len(epochs) + 1))

    def __str__(self):
        return f"{self.file} {self.number}, {self.name}: {self.forgery}"


@pytest.mark.timeout(5400)
@pytest.mark.parametrize("file", FILES)
def test_a_forged_run_is_refused_by_name_or_taken_for_what_it_says(folder, times, file):
    failures, counts = [], {True: 0, False: 0}
    for number in range(times(*CASES[file])):
        is_finished = file == "summary.json" or number % 3 == 2
        case = Case(file, number, "finished" if is_finished else "stopped")
        try:
            case.read(folder)
            if not (is_finished or case.is_refused):
                counts[case.is_whole] += 1
                if counts[case.is_whole] % TRAINED_EVERY[case.is_whole] == 1:
                    case.resume(folder)
        except AssertionError as error:
            failures.append(f"{case}\n{error}")
        if len(failures) == MOST_FAILURES:
            break
    assert not failures, "\n\n".join(failures)
    # Neither kind of case is tried for nothing.
    assert all(counts.values()) or file not in (META, "metrics.jsonl", STATE)


def pretend(folder, step=None, lines="", **position):
    """Let the stopped run stand elsewhere, and its journal and its checkpoint's name agree."""
    folder.renew("stopped")
    (kept,) = (folder.run / "checkpoints").iterdir()
    about = json.loads((kept / META).read_text())
    about["meta"] |= {**position, "step": step or about["step"]}
    about["step"] = about["meta"]["step"]
    (kept / META).write_bytes(encoded(signed(about)))
    kept.rename(kept.with_name(f"{about['step']:06d}"))
    with (folder.run / "metrics.jsonl").open("a") as journal:
        journal.write(lines)


def test_a_position_of_very_many_steps_does_not_end_as_a_finished_training(folder):
    pretend(folder, step=10**17, passed=10**17 - 3)
    answer = folder.ask("resume", "run", "-q", is_light=False)
    assert answer["code"] == 7
    assert "meta.passed is 99999999999999997, and an epoch has 3 steps" in answer["err"]
    size = (folder.trained["stopped"] / "metrics.jsonl").stat().st_size
    line = json.dumps({"epoch": 2, "step": 10**17 - 2, "seconds": 0.5, "loss": 0.5}) + "\n"
    pretend(folder, step=10**17, epoch=2, journal_bytes=size + len(line), lines=line)
    answer = folder.ask("resume", "run", "-q", is_light=False)
    assert answer["code"] == 7
    assert f"meta.step is {10**17}, and 2 epochs of 3 steps and 2 have fewer" in answer["err"]


def test_an_offset_within_a_line_leaves_the_journal_as_it_is(folder):
    pretend(folder, journal_bytes=20)
    before = (folder.run / "metrics.jsonl").read_bytes()
    answer = folder.ask("resume", "run", "-q", is_light=False)
    assert answer["code"] == 7
    assert "meta.json: meta.journal_bytes is 20, within a line of metrics.jsonl" in answer["err"]
    assert (folder.run / "metrics.jsonl").read_bytes() == before


def test_a_checkpoint_that_cannot_be_is_passed_over_for_the_one_before(folder):
    pretend(folder, step=6, epoch=2)
    earlier = "checkpoints/000005"
    shutil.copytree(folder.trained["stopped"] / earlier, folder.run / earlier)
    answer = folder.ask("resume", "run", is_light=False)
    assert answer["code"] == 0
    skipped = "skipped: checkpoint run/checkpoints/000006 is damaged: meta.json: meta.epoch"
    assert skipped in answer["err"]
    assert folder.outcome() == folder.expected
