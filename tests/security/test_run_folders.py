"""Hostile run folders: no code of theirs is imported, nothing outside of them read or written."""

import hashlib
import json
import os

import pytest

COMMANDS = ("evaluate", "resume")
PLUGIN = """
from fitx import models
{shot}

@models.register
def plugin(input_shape, outputs):
    '''Never made.'''
"""


@pytest.fixture
def hostile(run, place):
    """A run that was interrupted; `.record(...)` and `.experiment(...)` forge its files."""

    class Hostile:
        folder = run
        plugin = PLUGIN.format(shot=place.shot)
        sha256 = hashlib.sha256(plugin.encode()).hexdigest()

        def record(self, **facts):
            known = json.loads((run / "run.json").read_text())
            (run / "run.json").write_text(json.dumps({**known, **facts}))

        def experiment(self, text, name="experiment.yaml"):
            known = (run / "experiment.yaml").read_text()
            (run / name).parent.mkdir(exist_ok=True)
            (run / name).write_text(text + known)

    hostile = Hostile()
    hostile.record(status="interrupted")
    return hostile


def inside_but_unknown(hostile, place):
    (hostile.folder / "source/plugin.py").write_text(hostile.plugin)
    hostile.experiment("plugins: [source/plugin.py]\n")


def beside_the_run(hostile, place):
    place.write("plugin.py", hostile.plugin)
    hostile.experiment("plugins: [../plugin.py]\n")


def absolute_and_in_the_record(hostile, place):
    file = place.write("plugin.py", hostile.plugin)
    hostile.experiment(f"plugins: [{file}]\n")
    hostile.record(plugins={str(file): hostile.sha256, "plugin.py": hostile.sha256})


def out_of_the_source_and_in_the_record(hostile, place):
    place.write("plugin.py", hostile.plugin)
    hostile.experiment("plugins: [source/../../plugin.py]\n")
    hostile.record(plugins={"source/../../plugin.py": hostile.sha256})


def link_in_the_source(hostile, place):
    (hostile.folder / "source/plugin.py").symlink_to(place.write("plugin.py", hostile.plugin))
    hostile.experiment("plugins: [source/plugin.py]\n")
    hostile.record(plugins={"source/plugin.py": hostile.sha256})


def changed(hostile, place):
    (hostile.folder / "source/plugin.py").write_text(hostile.plugin)
    hostile.experiment("plugins: [source/plugin.py]\n")
    hostile.record(plugins={"source/plugin.py": hashlib.sha256(b"").hexdigest()})


def by_way_of_another_file(hostile, place):
    """Let the file that is checked be another one than the file that is imported."""
    (hostile.folder / "source/plugin.py").write_text("harmless = True\n")
    harmless = hashlib.sha256(b"harmless = True\n").hexdigest()
    (hostile.folder / "deep/source").mkdir(parents=True)
    (hostile.folder / "deep/source/plugin.py").write_text(hostile.plugin)
    hostile.experiment("plugins: [source/plugin.py]\n", "deep/base.yaml")
    (hostile.folder / "experiment.yaml").write_text("extends: deep/base.yaml\n")
    hostile.record(plugins={"source/plugin.py": harmless})


def of_the_shipped_part_of_a_name(hostile, place):
    (hostile.folder / "source/mlp.py").write_text(hostile.plugin.replace("def plugin", "def mlp"))
    hostile.experiment("plugins: [source/mlp.py]\n")


UNTRAINED = "the run was not trained with this plugin; not imported."
PLUGINS = {
    inside_but_unknown: (7, UNTRAINED),
    beside_the_run: (7, UNTRAINED),
    absolute_and_in_the_record: (7, UNTRAINED),
    out_of_the_source_and_in_the_record: (7, UNTRAINED),
    link_in_the_source: (
        7,
        "source/plugin.py is a link to a place outside of the run; remove it.",
    ),
    changed: (7, "has changed since the run was trained; not imported. Restore the file."),
    by_way_of_another_file: (2, "the experiment of a run must be complete, without `extends`."),
    of_the_shipped_part_of_a_name: (7, UNTRAINED),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("make", PLUGINS, ids=lambda make: make.__name__)
def test_a_plugin_that_was_not_trained_is_not_imported(light, hostile, place, command, make):
    make(hostile, place)
    code, text = PLUGINS[make]
    assert text in light(command, "run", code=code)["err"]


def test_a_plugin_given_for_a_run_is_held_to_the_same(light, hostile, place):
    place.write("source/plugin.py", hostile.plugin)
    harmless = PLUGIN.format(shot="None")
    (hostile.folder / "source/plugin.py").write_text(harmless)
    hostile.experiment("plugins: [source/plugin.py]\n")
    hostile.record(plugins={"source/plugin.py": hashlib.sha256(harmless.encode()).hexdigest()})
    for command in COMMANDS:
        answer = light(command, "run", "plugins=[source/plugin.py]", code=7)
        assert UNTRAINED in answer["err"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_record_of_a_plugin_that_the_experiment_lacks_is_refused(light, hostile, command):
    (hostile.folder / "source/plugin.py").write_text(hostile.plugin)
    hostile.record(plugins={"source/plugin.py": hostile.sha256})
    error = light(command, "run", "fit.epochs=8", code=7)["err"]
    assert "run.json is damaged: plugins: expected those of experiment.yaml" in error


def test_a_forged_text_that_experiment_yaml_is_about_to_hold_is_named(light, hostile):
    for text in ("extends: /etc/passwd", "", "step: [", "a: \x1b"):
        hostile.record(pending_experiment=text)
        error = light("resume", "run", code=7)["err"]
        assert "run.json is damaged: pending_experiment: " in error


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "plugins",
    [7, None, True, "source/plugin.py", ["source/plugin.py"], {"source/plugin.py": 5}, {}, [[]]],
)
def test_a_record_of_plugins_that_is_none_imports_nothing(light, hostile, command, plugins):
    (hostile.folder / "source/plugin.py").write_text(hostile.plugin)
    hostile.experiment("plugins: [source/plugin.py]\n")
    hostile.record(plugins=plugins)
    error = light(command, "run", code=7)["err"]
    assert "not imported" in error or "run.json is damaged: plugins" in error


@pytest.mark.parametrize("command", [*COMMANDS, "checkpoints"])
@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"status": ' * 100_000,
        b'{"status": "finished", "step": ' + b"9" * 100_000 + b"}",
        b"\xff\xfe\x00",
        b"null",
        b'{"status": ["finished"]}',
        b"\x80\x04c__builtin__\nexec\n.",
    ],
    ids=["deep", "deep objects", "digits", "bytes", "null", "list", "pickle"],
)
def test_a_record_that_is_none_is_refused(light, hostile, command, content):
    (hostile.folder / "run.json").write_bytes(content)
    # What checkpoints there are can be told without it.
    code = 0 if command == "checkpoints" else 7
    answer = light(command, "run", code=code)
    assert code == 0 or "run.json is damaged: " in answer["err"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_record_of_a_tebibyte_is_refused_unread(light, hostile, command):
    os.truncate(hostile.folder / "run.json", 1 << 40)
    answer = light(command, "run", code=7)
    assert "run.json is damaged: it holds more than 64 MiB" in answer["err"]


LINKED = (
    *("metrics.jsonl", "run.lock", "experiment.yaml", "summary.json", "samples/epoch-1.png"),
    *("checkpoints/000002/state.npz", "networks/model.keras", "source/mine.yaml"),
)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", LINKED)
def test_a_link_to_a_file_of_the_user_is_refused(light, hostile, place, command, name):
    file = hostile.folder / name
    file.unlink(missing_ok=True)
    file.symlink_to(place.secret)
    answer = light(command, "run", code=7)
    assert f"run/{name} is a link to a place outside of the run" in answer["err"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["checkpoints", "networks", "networks/best", "samples", "source"])
def test_a_link_to_a_folder_of_the_user_is_refused(light, hostile, place, command, name):
    (place.outside / "000001").mkdir()
    (place.outside / ".tmp-mine").mkdir()
    folder = hostile.folder / name
    if folder.exists():
        folder.rename(place.work / "away")
    folder.symlink_to(place.outside)
    assert (
        f"run/{name} is a link to a place outside of the run"
        in light(command, "run", code=7)["err"]
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_link_that_goes_in_a_circle_is_refused(light, hostile, command):
    (hostile.folder / "samples/a").symlink_to("a")
    assert (
        "run/samples/a is a link to a place outside of the run"
        in light(command, "run", code=7)["err"]
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_record_that_is_a_link_is_refused(light, hostile, place, command):
    (hostile.folder / "run.json").unlink()
    (hostile.folder / "run.json").symlink_to(place.secret)
    answer = light(command, "run", code=7)
    assert "run/run.json is" in answer["err"]


@pytest.mark.parametrize("command", [*COMMANDS, "checkpoints"])
def test_a_latest_that_leads_elsewhere_is_not_followed(light, hostile, place, command):
    (place.work / "runs/mine").mkdir(parents=True)
    os.rename(hostile.folder, place.outside / "run")
    (place.work / "runs/mine/latest").symlink_to(place.outside / "run")
    assert "no run is called 'mine'" in light(command, "mine", code=2)["err"]


PIPES = ("run.json", "experiment.yaml", "run.lock", "metrics.jsonl", "checkpoints/000002/meta.json")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", PIPES)
def test_a_pipe_is_refused_and_not_waited_for(light, hostile, command, name):
    (hostile.folder / name).unlink()
    os.mkfifo(hostile.folder / name)
    answer = light(command, "run", code=2 if name == "run.json" else 7)
    assert "run" in answer["err"]


CONTENTS = {
    "secret.txt": "its name must end in .yaml or .yml.",
    "/proc/self/environ": "its name must end in .yaml or .yml.",
    "link.yaml": "its name must end in .yaml or .yml.",
    "pipe.yaml": "is not a regular file; name a YAML file.",
}


@pytest.mark.parametrize("extended", CONTENTS)
def test_no_line_of_another_file_is_shown(light, place, extended):
    """A message shows lines of what was read, and what was read must be an experiment."""
    place.write("secret.txt", "export PASSWORD=hunter2\n")
    (place.work / "link.yaml").symlink_to(place.secret)
    os.mkfifo(place.work / "pipe.yaml")
    place.write("mine.yaml", f"extends: {extended}\n")
    assert CONTENTS[extended] in light("check", "mine.yaml", code=2)["err"]


def test_a_callback_of_a_run_writes_nothing_outside_of_it(light, hostile, place):
    csv = f"callbacks: [{{name: csv_logger, filename: {place.secret}}}]\n"
    text = (hostile.folder / "experiment.yaml").read_text().replace("callbacks: []\n", csv)
    (hostile.folder / "experiment.yaml").write_text(text)
    answer = light("resume", "run", code=2)
    assert f"callbacks.0.filename: {place.secret} lies outside of the run" in answer["err"]


FORGED = {
    "mode": ({"mode": "eager"}, "mode: expected 'plain', 'xla', 'fused' or 'fused_xla', found"),
    "many threads": ({"threads": 100_000}, "threads: expected less than or equal to 4096, found"),
    "too few threads": ({"threads": -3}, "threads: expected greater than or equal to 1, found -3"),
    "data": ({"data": 7}, "data: expected an object, found 7"),
    "versions": ({"versions": ["\x1b[2J"]}, 'versions: expected an object, found ["\\u001b[2J"]'),
}


@pytest.mark.parametrize("name", FORGED)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_forged_field_of_the_record_is_named(light, hostile, command, name):
    facts, said = FORGED[name]
    hostile.record(**facts)
    assert f"run.json is damaged: {said}" in light(command, "run", "-q", code=7)["err"]
