"""The `fitx list`, `show`, `copy` and `schema` commands."""

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from fitx.cli import _layout
from fitx.cli.main import group
from fitx.errors import UsageError

FITX = Path(sys.executable).with_name("fitx")
PLUGIN = '''
from fitx import datasets, models


@datasets.register
def load(*, rows: int = 10):
    """Rows of mine."""


@models.register
def adam(input_shape):
    ...
'''


@pytest.fixture
def fitx(tmp_path, monkeypatch):
    """Run a command in this process; return what it prints."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        done = CliRunner().invoke(group, words)
        if done.exception is not None:
            raise done.exception
        assert done.stderr == ""
        return done.stdout

    return run


def in_terminal(columns, *words):
    """Run the real command on a terminal of a given width; return its lines."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    with subprocess.Popen([FITX, *words], stdout=theirs, env=environment) as process:
        os.close(theirs)
        output = b""
        while True:
            try:
                output += os.read(ours, 65536)
            except OSError:
                break
    os.close(ours)
    assert process.returncode == 0
    return output.decode().replace("\r\n", "\n").splitlines()


STEPS = sorted(p.stem for p in Path(__file__).parents[2].joinpath("steps").glob("[a-z]*.py"))


def test_list_names_what_fitx_ships(fitx):
    lines = fitx("list").splitlines()

    assert lines[0].startswith("experiment: digits, distillation/distillation, ")
    assert f"step: {', '.join(STEPS[:4])}, " in "\n".join(lines)
    assert any(line.startswith("model: convnet, dcgan_discriminator, ") for line in lines)
    assert any(line.startswith("dataset: cifar10, digits, fashion_mnist, mnist") for line in lines)
    assert any(line.startswith("callback: csv_logger, early_stopping, ") for line in lines)


@pytest.mark.parametrize("kind", ["step", "steps", "Step"])
def test_list_prints_a_kind_one_name_a_line(fitx, kind):
    assert fitx("list", kind).splitlines() == STEPS


def test_list_knows_the_plural_of_loss(fitx):
    assert "huber" in fitx("list", "losses").splitlines()


def test_list_accepts_config_for_experiment(fitx):
    assert fitx("list", "config") == fitx("list", "experiment")


def test_list_prints_json(fitx):
    assert json.loads(fitx("list", "--json", "step")) == {"step": STEPS}
    assert set(json.loads(fitx("list", "--json"))) == {
        "config",
        "step",
        "model",
        "dataset",
        "callback",
    }


def test_list_names_the_nearest_kind(fitx):
    with pytest.raises(UsageError, match="no kind of part is called 'modle'. Did you mean 'model'"):
        fitx("list", "modle")
    with pytest.raises(UsageError, match="called 'x'. Kinds: step, model, dataset, callback, opt"):
        fitx("list", "x")


def test_a_long_list_fills_the_columns_of_a_terminal():
    lines = in_terminal(80, "list", "loss")
    assert all(len(line) <= 80 for line in lines)
    piped = CliRunner().invoke(group, ["list", "loss"]).stdout.split()
    assert sorted(name for line in lines for name in line.split()) == piped
    assert len(lines) == -(-len(piped) // 2)
    assert len(in_terminal(20, "list", "loss")) == len(piped)


def test_a_reader_that_leaves_early_is_no_error():
    done = subprocess.run(
        [
            "bash",
            "-o",
            "pipefail",
            "-c",
            '"$0" list layer | head -1; "$0" show adam | head -1',
            FITX,
        ],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "activation\noptimizer adam\n", "")


def test_show_prints_signature_documentation_and_file(fitx):
    shown = fitx("show", "step/gan")
    assert shown.startswith(
        "step gan\n\n"
        "  GAN(\n"
        "      discriminator: keras.Model,\n"
        "      generator: keras.Model,\n"
        "      *,\n"
    )
    assert "\n  Train a generator against a discriminator, one update of each per batch.\n" in shown
    assert "\n  Takes no loss. Logs d_loss, g_loss.\n" in shown
    assert shown.endswith("steps/gan.py:16\n")


def test_show_says_what_a_step_takes_and_logs(fitx):
    assert (
        "Takes `loss`, `metrics`, `weighted_metrics` from the experiment. Logs loss, the metrics."
        in fitx("show", "supervised")
    )


def test_show_prints_every_part_of_a_name_and_the_experiment(fitx):
    kinds = [line.split()[0] for line in fitx("show", "digits").splitlines() if line[:1].isalpha()]
    assert kinds == ["dataset", "experiment"]
    assert "experiment guide/gan\n\n  # The guide's GAN" in fitx("show", "gan")
    assert fitx("show", "guide/gan").startswith("experiment guide/gan\n\n  # The guide's GAN")
    assert [part["kind"] for part in json.loads(fitx("show", "poisson", "--json"))] == [
        "loss",
        "metric",
    ]
    assert fitx("show", "loss/poisson").startswith("loss poisson\n\n  Poisson(reduction=")


def test_show_knows_the_options_that_every_dataset_has(fitx):
    shown = fitx("show", "dataset/npz")
    assert "\n  Options of every dataset:\n      batch_size: Annotated[int, Ge(1)" in shown
    assert "\n      shuffle: bool = True\n" in shown


def test_show_knows_class_names_and_short_ones(fitx):
    assert fitx("show", "optimizer/Adam").startswith("optimizer Adam\n\n  Adam(\n")
    assert fitx("show", "loss/mse").startswith("loss mse\n\n  MeanSquaredError(")
    assert "chosen by the shapes of the" in fitx("show", "metric/acc")


def test_show_prints_json(fitx):
    (part,) = json.loads(fitx("show", "--json", "low_level"))[:1]
    (parameter,) = part["parameters"]
    assert parameter.pop("description").startswith("Network from `x` (batch, ...)")
    assert [parameter] == [
        {"name": "model", "text": "model: keras.Model", "required": True, "fed": True}
    ]
    assert part["signature"] == "LowLevel(model: keras.Model)"


def test_show_reads_a_plugin_and_runs_none_of_it(fitx, tmp_path):
    (tmp_path / "adam.py").write_text("raise RuntimeError\n" + PLUGIN)
    shown = fitx("show", "adam.py")
    assert shown.startswith("dataset adam\n\n  load(rows: int = 10)\n\n  Options of every dataset")
    assert "\n\nmodel adam\n\n  adam(input_shape)\n\n" in shown
    assert "optimizer" not in shown
    (tmp_path / "mlp.py").write_text(PLUGIN)
    with pytest.raises(UsageError, match="^mlp.py: a model 'mlp' exists already; rename the fil"):
        fitx("show", "mlp.py")


def test_show_tells_what_is_wrong_with_a_plugin(fitx, tmp_path):
    (tmp_path / "mine.py").write_text("def f(:\n")
    with pytest.raises(UsageError) as caught:
        fitx("show", "mine.py")
    assert str(caught.value) == (
        'mine.py: is not Python: invalid syntax.\n  File "mine.py", line 1\n    def f(:'
    )
    with pytest.raises(
        UsageError, match=r"^mien.py: there is no such file. Did you mean 'mine.py'"
    ):
        fitx("show", "mien.py")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("supervized", "nothing is called 'supervized'. Did you mean 'supervised'?"),
        ("guide/gna", "nothing is called 'guide/gna'. Did you mean 'guide/gan'?"),
        ("los/mse", "nothing is called 'los/mse'. Did you mean 'mse'?"),
        ("loss/mes", "nothing is called 'loss/mes'. Did you mean 'mse'?"),
        ("xyzzy", "nothing is called 'xyzzy'. `fitx list` lists all names."),
    ],
)
def test_show_names_the_nearest(fitx, name, said):
    with pytest.raises(UsageError) as caught:
        fitx("show", name)
    assert str(caught.value) == said


def test_copy_copies_what_an_experiment_extends(fitx, tmp_path):
    assert (
        fitx("copy", "guide/weighted")
        == "wrote weighted.yaml\nwrote simple.yaml\nwrote fitx.schema.json\n"
    )
    assert fitx("check", "weighted.yaml") == "weighted.yaml: no problems.\n"
    with pytest.raises(UsageError, match="weighted.yaml exists; name another file"):
        fitx("copy", "guide/weighted")


def test_copy_gives_a_part_a_name_of_its_own(fitx, tmp_path):
    assert fitx("copy", "step/gan") == "wrote my_gan.py\n"
    (tmp_path / "mine.yaml").write_text("extends: guide/gan\nplugins: [my_gan.py]\nstep: my_gan\n")
    assert fitx("show", "my_gan.py").startswith("step my_gan\n")
    assert fitx("copy", "gan", "other.yaml").startswith("wrote other.yaml\n")


def test_schema_prints_a_json_schema(fitx, tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    schema = json.loads(fitx("schema", "--plugin", "mine.py"))
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid({"data": {"name": "mine", "rows": 3}})
    assert not validator.is_valid({"data": {"name": "mine", "rows": "3"}})
    with pytest.raises(UsageError, match=r"^nope.py: there is no such file."):
        fitx("schema", "--plugin", "nope.py")


def test_names_are_laid_out_downwards():
    assert _layout.name_columns(["a", "bb", "c", "d", "e"], 10) == "a   c  e\nbb  d"
    assert _layout.name_columns(["a", "bb", "c", "d", "e"], 5) == "a   d\nbb  e\nc"
    assert _layout.name_columns(["a", "b"], 1) == "a\nb"
    assert _layout.name_columns([], 10) == ""


@pytest.mark.parametrize("wide", [23, 40, 60, 100])
def test_a_table_that_is_too_wide_names_its_cells_and_breaks_none(wide):
    headings = ("checkpoint", "epoch", "size", "written", "best by then", "state")
    row = ("000012", "2", "4.8 kB", "2026-11-28 07:51:57 UTC", "", "whole, last")
    lines = _layout.table_lines([headings, row], wide)
    assert max(map(len, lines)) <= wide
    if wide < 100:
        named = "checkpoint 000012, epoch 2, size 4.8 kB, written 2026-11-28 07:51:57 UTC, state"
        assert " ".join(line.strip() for line in lines) == f"{named} whole, last"
    else:
        assert lines[1].split() == " ".join(row).split()


def test_a_call_that_is_too_long_takes_a_line_for_each_argument():
    assert _layout.call_text("f", ["a", "b"], 20) == "f(a, b)"
    assert _layout.call_text("f", ["a", "b"], 5) == "f(\n    a,\n    b,\n)"
    assert _layout.call_text("f", [], 1) == "f(\n)"


def test_the_help_describes_every_command_in_a_whole_sentence(fitx):
    _, _, commands = fitx("--help").partition("Commands:\n")
    assert all(line.endswith(".") and "..." not in line for line in commands.splitlines())
