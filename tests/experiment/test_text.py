"""Keys that take text, and values in messages as they are written."""

import pytest

from fitx.experiment.check import read
from fitx.experiment.problems import ConfigError

NUMBERS = ("1234567", "0e12", "12e4567", "0x12", "007", "1.50", "true")


@pytest.mark.parametrize("text", NUMBERS)
def test_a_key_that_is_text_takes_any_text_of_the_environment(tmp_path, write, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FITX_SHA", text)
    write("mine.yaml", "extends: digits\nname: ${env:FITX_SHA}\n")
    experiment = read("mine.yaml", ["data={name: npz, path: '${env:FITX_SHA}'}"])
    assert experiment.name == text
    bare = read("mine.yaml", ["data={name: npz}", "data.path=${env:FITX_SHA}"])
    assert bare.data.options["path"].name == experiment.data.options["path"].name == text
    assert bare.as_mapping()["name"] == "${env:FITX_SHA}"


@pytest.mark.parametrize("text", ["012", "1e3", "0x10", "1.50", "-0"])
def test_a_hint_gives_back_what_was_written(refusal, tmp_path, text):
    said = refusal(tmp_path, "digits", [f"name={text}"])
    found = f'found {text}; write "{text}" in quotes.'
    assert said == f"command line: name={text}: name: expected a string, {found}"
    assert f"found {text}; write [{text}]" in refusal(tmp_path, "digits", [f"metrics={text}"])


def test_a_number_of_the_environment_is_still_no_text_where_a_number_belongs(
    tmp_path, refusal, monkeypatch
):
    variables = {"FITX_EPOCHS": "12e4567"}
    assert "expected an integer, found the value of ${env:FITX_EPOCHS}" in refusal(
        tmp_path, "digits", ["fit.epochs=${env:FITX_EPOCHS}"], variables
    )
    with pytest.raises(ConfigError, match="finite"):
        read("digits", ["optimizer.learning_rate=.inf"])
