"""Each invalid experiment of tests/corpus is refused with the text of its .txt file.

`PIN=1 pytest tests/experiment/test_corpus.py` rewrites the texts; read the changes as a user would
before committing them.
"""

import json
import os
import subprocess
import sys

import pytest

ORDERED = """
import json, os, sys
from fitx.experiment.check import read
from fitx.experiment.problems import ConfigError

for folder, name, words, variables in json.load(sys.stdin):
    os.chdir(folder)
    os.environ.update(variables)
    try:
        read(name, words)
    except ConfigError:
        pass
    heavy = {"tensorflow", "keras", "numpy"} & sys.modules.keys()
    if heavy:
        sys.exit(f"{folder}/{name} imports {heavy}")
"""


def test_a_bad_file_is_refused_with_its_text(bad, refusal):
    text = refusal(bad.file.parent, bad.file.name, bad.words, bad.variables)
    if os.environ.get("PIN"):
        bad.expected.write_text(text + "\n", encoding="utf-8")
    assert text + "\n" == bad.expected.read_text(encoding="utf-8")


def test_the_corpus_is_large_and_every_text_belongs_to_a_file(corpus):
    assert len(corpus) >= 110
    folder = corpus[0].file.parent.parent
    assert {bad.expected for bad in corpus} == set(folder.glob("*/*.txt")) - {
        folder / "plugins/notes.txt"
    }


def test_no_text_holds_a_secret_a_traceback_or_a_bare_object(corpus):
    for bad in corpus:
        text = bad.expected.read_text(encoding="utf-8")
        for word in ("s3cret", "Traceback", "<fitx", "object at 0x", "pydantic", "PydanticCustom"):
            assert word not in text, bad.file


def test_checking_the_whole_corpus_imports_neither_tensorflow_nor_keras(corpus):
    cases = [(str(b.file.parent), b.file.name, b.words, b.variables) for b in corpus]
    command = [sys.executable, "-c", ORDERED]
    done = subprocess.run(
        command, input=json.dumps(cases), text=True, capture_output=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_missing_file_names_the_nearest(tmp_path, write, refusal):
    write("digits_large.yaml", "step: supervised\n")
    text = refusal(tmp_path, "digits_lagre.yaml")
    assert text == ("digits_lagre.yaml: there is no such file. Did you mean 'digits_large.yaml'?")


def test_a_missing_file_names_the_nearest_shipped_one(tmp_path, refusal):
    text = refusal(tmp_path, "guide/gna")
    assert text == "guide/gna: there is no such file. Did you mean 'guide/gan'?"


def test_a_missing_file_far_from_everything_names_the_list(tmp_path, refusal):
    text = refusal(tmp_path, "/nowhere/at-all.yaml")
    assert text == (
        "/nowhere/at-all.yaml: there is no such file. `fitx list config` names the shipped ones."
    )


def test_a_folder_is_refused(tmp_path, refusal):
    (tmp_path / "digits.yaml").mkdir()
    text = refusal(tmp_path, "digits.yaml")
    assert text == "digits.yaml: is a folder; name a YAML file or a shipped experiment."


def test_a_fifo_is_refused_without_waiting(tmp_path, refusal):
    os.mkfifo(tmp_path / "fifo.yaml")
    assert refusal(tmp_path, "fifo.yaml") == ("fifo.yaml: is not a regular file; name a YAML file.")


def test_a_device_is_refused(tmp_path, refusal):
    assert refusal(tmp_path, "/dev/zero") == ("/dev/zero: is not a regular file; name a YAML file.")


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="Linux has such a file")
def test_a_file_that_breaks_while_it_is_read_is_refused(tmp_path, refusal):
    assert refusal(tmp_path, "/proc/self/mem") == (
        "/proc/self/mem: cannot be read: Input/output error."
    )


def test_a_file_of_ten_megabytes_is_refused(tmp_path, refusal):
    (tmp_path / "large.yaml").write_bytes(b"# large\n" * (10 * 2**17))
    assert refusal(tmp_path, "large.yaml") == (
        "large.yaml: is 10.0 MiB large; an experiment file has at most 1 MiB."
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission_is_refused(tmp_path, write, refusal):
    write("mine.yaml", "step: supervised\n").chmod(0)
    assert refusal(tmp_path, "mine.yaml") == "mine.yaml: cannot be read: Permission denied."


def test_a_link_to_itself_is_refused(tmp_path, refusal):
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    assert refusal(tmp_path, "loop.yaml").startswith("loop.yaml: there is no such file.")


def test_a_name_that_no_file_can_have_is_refused(tmp_path, refusal):
    assert refusal(tmp_path, "x" * 5000) == (
        f"{'x' * 45}...{'x' * 12}: cannot be read: File name too long."
    )
    assert refusal(tmp_path, "a\0b").startswith("a\0b: there is no such file.")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_other_encodings_are_refused(tmp_path, refusal, encoding):
    (tmp_path / "wide.yaml").write_bytes("\ufeffstep: supervised\n".encode(encoding))
    assert refusal(tmp_path, "wide.yaml") == ("wide.yaml: is UTF-16 or UTF-32; save it as UTF-8.")


def test_utf_16_without_a_mark_is_refused_at_its_first_nul(tmp_path, refusal):
    (tmp_path / "wide.yaml").write_bytes("step: supervised\n".encode("utf-16-le"))
    assert refusal(tmp_path, "wide.yaml") == (
        "wide.yaml:1:2: the character U+0000 is not allowed in YAML; remove it.\n"
        "    1 | s t e p :   s u p e r v i s e d\n"
        "         ^"
    )


def test_a_byte_that_is_not_utf_8_is_named(tmp_path, refusal):
    (tmp_path / "latin.yaml").write_bytes("step: supervised\nname: caf\xe9\n".encode("latin-1"))
    assert refusal(tmp_path, "latin.yaml") == (
        "latin.yaml:2:10: byte 0xE9 is not UTF-8; save the file as UTF-8."
    )


@pytest.mark.parametrize(
    ("character", "name"),
    [("\0", "0000"), ("\x1b", "001B"), ("\x85", "0085"), ("\u2028", "2028"), ("\ufeff", "FEFF")],
)
def test_characters_that_cannot_be_seen_are_named(tmp_path, write, refusal, character, name):
    write("odd.yaml", f"step: supervised\nmodel: m{character}lp\n")
    assert refusal(tmp_path, "odd.yaml").splitlines()[0] == (
        f"odd.yaml:2:9: the character U+{name} is not allowed in YAML; remove it."
    )


def test_two_thousand_levels_are_refused(tmp_path, write, refusal):
    write("deep.yaml", "step: " + "[" * 2000 + "]" * 2000 + "\n")
    text = refusal(tmp_path, "deep.yaml")
    assert text.splitlines()[0] == "deep.yaml:1:71: nested deeper than 64 levels."


def test_two_thousand_levels_of_blocks_are_refused(tmp_path, write, refusal):
    write("deep.yaml", "".join(f"{' ' * level}a:\n" for level in range(1400)))
    text = refusal(tmp_path, "deep.yaml")
    assert text.splitlines()[0] == "deep.yaml:66:66: nested deeper than 64 levels."


@pytest.mark.parametrize(
    "word", [f"{'a.' * 3000}b=1", f"~{'a.' * 3000}b", f"{'a.' * 50}b=[[{'[' * 20}]]{']' * 20}"]
)
def test_an_override_leads_no_deeper_than_a_file(tmp_path, write, refusal, word):
    write("mine.yaml", "extends: guide/simple\n")
    assert refusal(tmp_path, "mine.yaml", [word]) == (
        f"command line: {word}: nested deeper than 64 levels."
    )


def test_a_chain_of_two_hundred_files_is_refused(tmp_path, write, refusal):
    for number in range(200):
        write(f"{number}.yaml", f"extends: {number + 1}.yaml\n")
    text = refusal(tmp_path, "0.yaml")
    assert text == "100.yaml: an experiment may extend at most 100 files, counting repeated ones."


def test_files_that_multiply_are_refused(tmp_path, write, refusal):
    for number in range(40):
        write(f"{number}.yaml", f"extends: [{number + 1}.yaml, {number + 1}.yaml]\n")
    write("40.yaml", "seed: 1\n")
    text = refusal(tmp_path, "0.yaml")
    assert text.endswith("an experiment may extend at most 100 files, counting repeated ones.")


def test_an_override_of_several_lines_is_shown_whole(tmp_path, write, refusal):
    write("mine.yaml", "extends: guide/simple\n")
    text = refusal(tmp_path, "mine.yaml", ["fit={epochs: 3,\n  epoch: 4}"])
    assert text == (
        "command line: fit={epochs: 3,\n  epoch: 4}: fit.epoch: unknown key 'epoch' in fit. "
        "Did you mean 'epochs'?"
    )


def test_a_fifo_as_plugin_is_refused_without_waiting(tmp_path, write, refusal):
    os.mkfifo(tmp_path / "mine.py")
    write("mine.yaml", "extends: guide/simple\nplugins: [mine.py]\n")
    assert refusal(tmp_path, "mine.yaml").splitlines()[0] == (
        "mine.yaml:2:11: plugins.0: mine.py: is not a Python file; its name must end in .py."
    )


def test_a_plugin_with_a_nul_or_too_many_brackets_is_refused(tmp_path, write, refusal):
    write("nul.py", "x = 1\0\n")
    write("deep.py", "x = " + "(" * 5000 + ")" * 5000 + "\n")
    write("long.py", "x = 1" + " + 1" * 50_000 + "\n")
    write("mine.yaml", "extends: guide/simple\nplugins: [nul.py, deep.py, long.py]\n")
    text = refusal(tmp_path, "mine.yaml")
    first, second, third = (line for line in text.splitlines() if ": plugins." in line)
    assert first.startswith("mine.yaml:2:11: plugins.0: nul.py: ")
    assert second.startswith("mine.yaml:2:19: plugins.1: deep.py: ")
    assert third == "mine.yaml:2:28: plugins.2: long.py: is nested too deeply."


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_plugin_without_permission_is_refused(tmp_path, write, refusal):
    write("mine.py", "x = 1\n").chmod(0)
    write("mine.yaml", "extends: guide/simple\nplugins: [mine.py]\n")
    assert refusal(tmp_path, "mine.yaml").splitlines()[0] == (
        "mine.yaml:2:11: plugins.0: mine.py: cannot be read: Permission denied."
    )


def test_bytes_in_an_extended_file_are_reported_at_that_file(tmp_path, write, refusal):
    (tmp_path / "base.yaml").write_bytes(b"seed: 3\nname: \xff\n")
    write("mine.yaml", "extends: base.yaml\n")
    assert refusal(tmp_path, "mine.yaml") == (
        "base.yaml:2:7: byte 0xFF is not UTF-8; save the file as UTF-8."
    )


def test_a_quoted_number_of_many_digits_is_a_string(tmp_path, write, refusal):
    write("mine.yaml", f'extends: guide/simple\nseed: "{"9" * 400}"\n')
    assert refusal(tmp_path, "mine.yaml").splitlines()[0] == (
        f"mine.yaml:2:7: seed: expected an integer, found the string '{'9' * 45}...{'9' * 12}'."
    )
