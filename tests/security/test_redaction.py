"""No piece of a value from the environment is left in a text, whatever has become of the value."""

import json
import os
import random
import re
import string
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, quote_plus, unquote

import numpy as np
import pytest

from fitx import redaction
from fitx.experiment.check import read

from .conftest import arrays

PIECE = 8
ODD = " /:@%?&=+'\"\\#.,~!$-_[]{}()éß日𝒳"
LETTERS = string.ascii_letters + string.digits

FORMS = {
    "as it is": str,
    "a path without double slashes": os.path.normpath,
    "an absolute path": os.path.abspath,
    "in quotes": lambda text: repr(text)[1:-1],
    "in quotes of bytes": lambda text: repr(os.fsencode(text))[2:-1],
    "JSON": lambda text: json.dumps(text)[1:-1],
    "a path in JSON": lambda text: json.dumps({"a": [os.path.normpath(text)]}),
    "an error in an error": lambda text: str(KeyError(f"no {text!r} there")),
    "in an address": lambda text: quote(os.fsencode(text)),
    "as one part of an address": lambda text: quote_plus(os.fsencode(text)),
    "decoded": unquote,
    "in lower case": str.lower,
    "ASCII": lambda text: text.encode("ascii", "backslashreplace").decode(),
    "one after another": lambda text: f"{text}{text}",
    "cut in the middle": lambda text: f"{text[:45]}...{text[-12:]}",
    "its beginning": lambda text: text[: max(PIECE, len(text) // 2)],
    "its end": lambda text: text[-max(PIECE, len(text) // 3) :],
    "in lines": lambda text: "\n".join(re.findall("(?s).{1,30}", text)),
    "as a list of folders": lambda text: str(os.path.normpath(text).split("/")),
}

WITH_MORE = (
    "an absolute path",
    "a path in JSON",
    "an error in an error",
    "as a list of folders",
    "one after another",
    "cut in the middle",
    "in lines",
)
"""Forms that hold characters of others."""


@pytest.fixture(autouse=True)
def _nothing_known():
    redaction.forget()
    yield
    redaction.forget()


def password(chance):
    """Draw what is a word of no language: a letter, a digit, and some more."""
    more = chance.choices(LETTERS + ODD[5:], k=chance.randint(6, 30))
    return f"{chance.choice(string.ascii_letters)}{chance.randint(0, 9)}{''.join(more)}"


def address(chance):
    """Draw an address with a password in it, and the password."""
    secret = "".join(chance.choices(LETTERS, k=chance.randint(2, 20))) + "7q"
    folders = chance.choice(["//", "/../", "/./", "/%20", "/a b/"]).join(
        "".join(chance.choices(LETTERS, k=9)) for _ in range(3)
    )
    return f"https://someone{chance.randint(0, 99)}:{secret}@host.example//{folders}.npz", secret


def told(text):
    return re.sub(r"\$\{env:\w+\}", "\0", text)


def pieces(text):
    return {text[start : start + PIECE] for start in range(len(text) - PIECE + 1)}


@pytest.mark.parametrize("form", FORMS)
def test_no_piece_of_a_value_is_left_in_any_form(form, times):
    chance = random.Random(form)
    for _ in range(times(150, 3000)):
        value, secret = address(chance) if chance.random() < 0.5 else (password(chance), None)
        redaction.forget()
        redaction.protect("SECRET", value)
        text = f"cannot read {FORMS[form](value)}: no such file"
        shown = redaction.redact(text)
        known = set().union(*map(pieces, pieces_of(value)))
        known |= pieces(FORMS[form](value)) if form not in WITH_MORE else set()
        assert not [piece for piece in known if piece in told(shown)], (value, shown)
        assert secret is None or not re.search(rf"(?<!\w){secret}(?!\w)", shown), (value, shown)


def pieces_of(value):
    """Return a value as it may be told: itself and what paths and addresses make of it."""
    return (value, os.path.normpath(value), value.lower(), unquote(value))


ORDINARY = (
    "data.path: missing; npz needs it. Did you mean 'data.labels'?",
    '  File "/usr/lib/python3/site-packages/keras/src/trainers/trainer.py", line 12, in fit',
    "epoch 3/10  23 steps  0.12s  loss 0.1234  val_loss 1.679  sparse_categorical_accuracy 0.9123",
    "run: runs/digits/20261128-065821-3205",
    "no checkpoint of runs/mine is whole; the training begins anew",
)
USUAL = (
    *("/data/mnist/train.npz", "/mnt/datasets/imagenet/validation", "data", "train.npz", "gpu"),
    *("https://example.com/models/training/checkpoints", "12", "0.9", "true", "/home/user/data"),
    "postgres://user:pw@localhost/test",
)


@pytest.mark.parametrize("value", USUAL)
def test_ordinary_values_leave_ordinary_messages_alone(value):
    redaction.protect("USUAL", value)
    assert [redaction.redact(text) for text in ORDINARY] == list(ORDINARY)


def test_the_folders_that_a_command_works_in_are_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    redaction.protect("DATA", f"{tmp_path}/data/train_1.npz")
    redaction.protect("HERE", f"{tmp_path.parent}")
    for text in (f"wrote {tmp_path}/runs/mine", f"{tmp_path.parent}/other", f"{tmp_path}/data/b"):
        assert redaction.redact(text) == text
    shown = redaction.redact(f"no {tmp_path}/data/train_1.npz in {tmp_path}/old/data/train_1.npz")
    assert shown == f"no ${{env:DATA}} in {tmp_path}/old${{env:DATA}}"


@pytest.mark.parametrize("value", ["{}/Tr0ub4dor//../..", "{}/Tr0ub4dor/..", "/Tr0ub4dor:pw@h/.."])
def test_a_value_that_leads_back_to_a_known_folder_is_hidden(tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    redaction.protect("URL", value.format(tmp_path))
    assert "Tr0ub4dor" not in redaction.redact(f"no {value.format(tmp_path)} in /x/Tr0ub4dor")


OPTIONS = """
plugins: [keep.py]
step: supervised
model: {name: linear}
loss: mse
optimizer: adam
data: {name: random}
callbacks: [{name: keep, token: {mode: "${env:MODE}", name: "${env:NAME}"}, mode: "${env:AS}"}]
"""


def test_a_value_is_hidden_whatever_the_option_is_called(tmp_path, monkeypatch):
    keep = KEEP.replace("token: str", "token: dict[str, str], mode: str")
    (tmp_path / "keep.py").write_text(keep)
    (tmp_path / "mine.yaml").write_text(OPTIONS)
    values = {"MODE": "Tr0ub4dor-and-3", "NAME": "hunter2-hunter3", "AS": "pa55-the-word"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    read(str(tmp_path / "mine.yaml"))
    for name, value in values.items():
        assert redaction.redact(f"no {value}") == f"no ${{env:{name}}}"


def test_what_is_published_is_shown():
    redaction.protect("NAME", "experiment-of-may-7")
    redaction.publish(["experiment-of-may-7"])
    assert redaction.redact("runs/experiment-of-may-7/2026") == "runs/experiment-of-may-7/2026"


def test_of_two_values_each_is_told_by_its_own_reference():
    redaction.protect("SHORT", "abcdefg1")
    redaction.protect("LONG", "abcdefg1-hijklmn2")
    shown = redaction.redact("abcdefg1 abcdefg1-hijklmn2 abcdefg1-hijk")
    assert shown == "${env:SHORT} ${env:LONG} ${env:LONG}"


EXPERIMENT = """
plugins: [keep.py]
step: supervised
model: {name: sequential, layers: [{name: dense, units: 1}]}
optimizer: adam
loss: mse
data: {name: npz, path: "${env:FITX_DATA}", batch_size: 8}
fit: {epochs: 1}
callbacks: [{name: keep, token: "${env:FITX_TOKEN}"}]
execution: {mode: plain, threads: 2}
"""
KEEP = """
import warnings
import keras
from fitx import callbacks

@callbacks.register
class Keep(keras.callbacks.Callback):
    def __init__(self, *, token: str, fails: bool = False):
        super().__init__()
        self.token, self.fails = token, fails

    def on_epoch_end(self, epoch, logs=None):
        warnings.warn(f"cannot reach {self.token}")
        if self.fails:
            raise OSError(f"refused {self.token!r} at {self.token.split(':')[-1]}")
"""
COMMANDS = [
    (("train",), 0),
    (("train", "--json", "data.path=${env:FITX_DATA}//no.npz"), 3),
    (("train", "--verbose", "callbacks.0.fails=true"), 1),
    (("check", "--resolved"), 0),
    (("check", "--json", "callbacks.0.token=[${env:FITX_TOKEN}]"), 2),
]


def test_no_piece_of_a_value_is_in_what_commands_say_and_write(heavy_process, place, times):
    chance = random.Random(9)
    place.write("keep.py", KEEP)
    place.write("mine.yaml", EXPERIMENT)
    for _ in range(times(2, 60)):
        token, secret = address(chance)
        folder = f"{password(chance)}//{chance.choice(['a/..', 'ü', '.'])}/x".strip("/")
        os.makedirs(place.work / folder, exist_ok=True)
        data = f"{folder}/{chance.randint(10**8, 10**9)}.npz"
        np.savez(place.work / data, x=np.ones((16, 2)), y=np.ones((16, 1)))
        variables = {"FITX_DATA": data, "FITX_TOKEN": token}
        for (command, *words), code in COMMANDS:
            request = [command, "mine.yaml", *words]
            answer = heavy_process.ask(folder=place.work, words=request, variables=variables)
            assert answer["code"] == code, answer["err"]
            assert "${env:FITX_" in answer["out"] + answer["err"] or command == "check"
            refuse(answer["out"] + answer["err"], data, token, secret)
        for file in place.work.glob("runs/**/*"):
            content = file.read_bytes().decode("latin-1") if file.is_file() else ""
            refuse(f"{file.relative_to(place.work)}\n{content}", data, token, secret)


def test_a_value_that_is_like_what_a_record_says_leaves_the_record_whole(heavy_process, place):
    place.write("keep.py", KEEP)
    place.write("mine.yaml", EXPERIMENT)
    days = [datetime.now(UTC) + timedelta(days=n) for n in (0, 1)]
    words = ("interrupted-finished", "multi_worker", "fused_xla", "mixed_bfloat16", "000002")
    like = "/".join([*(f"{day:%Y-%m-%d}/{day:%Y%m%d}" for day in days), *words])
    (place.work / like).mkdir(parents=True)
    arrays(place.work / like / "metrics.npz")
    variables = {"FITX_DATA": f"{like}/metrics.npz", "FITX_TOKEN": f"{{name: {like}}}"}
    for words in (("train", "mine.yaml"), ("resume", "mine", "fit.epochs=2"), ("evaluate", "mine")):
        request = [*words, "--json"]
        answer = heavy_process.ask(folder=place.work, words=request, variables=variables)
        assert answer["code"] == 0, answer["err"]
        assert (place.work / json.loads(answer["out"])["run"] / "run.json").is_file()


def refuse(text, data, token, secret):
    for value in (data, token, *pieces_of(data), *pieces_of(token)):
        for form in (value, quote(value), json.dumps(value)[1:-1], repr(value)[1:-1]):
            assert not [piece for piece in pieces(form) if piece in told(text)], text
    assert not re.search(rf"(?<!\w){secret}(?!\w)", told(text))


def test_a_long_value_takes_no_long_time():
    chance = random.Random(1)
    value = "".join(chance.choices(LETTERS + "+/", k=20_000))
    redaction.protect("CERTIFICATE", value)
    lines = "\n".join(value[start : start + 64] for start in range(0, len(value), 64))
    assert not set(redaction.redact(lines)) & set("+/0189")
