"""Commands in a broken environment: locale, streams, warnings and variables."""

import pytest

PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
WARNING = '''
import warnings
import keras
from fitx import callbacks

warnings.warn("old", DeprecationWarning)


@callbacks.register
class Warns(keras.callbacks.Callback):
    """Warn as libraries do."""

    stateless = True

    def on_train_end(self, logs=None):
        warnings.warn("this is only a warning")
'''
EXPERIMENT = """
extends: guide/simple
name: spoilt
plugins: [wärnt.py]
callbacks: [wärnt]
fit: {epochs: 1}
"""
COMMANDS = [
    (["--help"], 0),
    (["list", "loss"], 0),
    (["show", "mlp"], 0),
    (["schema"], 0),
    (["check", "digits", "--resolved"], 0),
    (["check", "größe.yaml"], 4),
    (["check", "nö.yaml", "--json"], 2),
    (["copy", "digits", "größe.yaml"], 2),
    (["checkpoints", "nö"], 2),
    (["resume", "nö"], 2),
    (["evaluate", "nö"], 2),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lä")
    (folder / "größe.yaml").write_text(EXPERIMENT)
    (folder / "wärnt.py").write_text(WARNING)
    return folder


@pytest.fixture(scope="module")
def trained(folder, launch):
    """Run a training with warnings as errors, on streams in ASCII."""
    hostile = {"PYTHONIOENCODING": "ascii", "PYTHONWARNINGS": "error", "TF_CONFIG": "[" * 100_000}
    return launch(folder, "train", "größe.yaml", env=hostile)


def test_a_training_survives_warnings_as_errors_ascii_streams_and_a_foreign_cluster(trained):
    done = trained.result()
    assert done.code == 0, done.err
    assert "this is only a warning" in done.err


@pytest.mark.parametrize(("words", "code"), COMMANDS)
def test_every_command_survives_warnings_as_errors_and_plain_locales(fitx, folder, words, code):
    done = fitx(folder, *words, env={**PLAIN, "PYTHONWARNINGS": "error"})
    assert done.code == code, done.err
    assert "Warning" not in done.err
    assert "Traceback" not in done.err


def test_a_name_that_the_locale_cannot_encode_is_told_with_the_remedy(fitx, folder):
    done = fitx(folder, "check", "größe.yaml", env=PLAIN)
    assert done.code == 4
    assert done.err == (
        r"'\xe4' cannot be part of a file name in this locale, which encodes names as ascii; set "
        "PYTHONUTF8=1, or a locale such as LC_ALL=C.UTF-8.\n"
    )


def in_a_deleted_folder(fitx, folder, *words):
    gone = folder / "gone"
    gone.mkdir()
    return fitx(gone, *words, shell='rmdir "$PWD"; "$@"')


@pytest.mark.parametrize("command", ["train", "launch"])
def test_a_training_in_a_deleted_working_folder_says_so(fitx, folder, command):
    words = (["--workers", "2"] if command == "launch" else []) + ["guide/simple"]
    done = in_a_deleted_folder(fitx, folder, command, *words)
    assert done.code == 7
    assert done.err == (
        "cannot write runs to runs: the working folder has been deleted. Change to another.\n"
    )


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["check", "digits"], 0),
        (["check", "my.yaml"], 2),
        (["list"], 0),
        (["show", "my.py"], 2),
        (["copy", "digits"], 7),
        (["checkpoints", "digits"], 2),
        (["resume", "digits"], 2),
        (["evaluate", "my"], 2),
    ],
)
def test_every_command_in_a_deleted_working_folder_works_or_says_why(fitx, folder, words, code):
    done = in_a_deleted_folder(fitx, folder, *words)
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    assert bool(done.err) == bool(code)
