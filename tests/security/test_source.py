"""What the product never calls, read from its source; `tests/test_house.py` has the rest."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FORBIDDEN = {
    *("eval", "exec", "__import__", "run_path", "run_module", "os.system", "os.popen"),
    *("load_model", "load_weights", "model_from_json", "deserialize_keras_object", "from_config"),
    *("enable_unsafe_deserialization", "unsafe_load", "full_load", "load_all", "yaml.load"),
    *("extractall", "unpack_archive", "get_file", "urlopen", "urlretrieve", "mktemp"),
}
"""Names of functions; one without a module stands for that of any."""

PICKLES = ("pickle", "cPickle", "marshal", "shelve", "dill", "joblib", "cloudpickle", "torch")

IMPORTERS = {
    "cli/main.py",
    "fitx/__init__.py",
    "fitx/registry/registries.py",
    "fitx/commands/doctor.py",
}
"""For a command, a room of parts, a part, a package that fitx needs: all known by name to fitx."""

COMPILERS = {"fitx/experiment/plugins.py", "fitx/experiment/plugin_import.py"}
"""Where the plugins of an experiment are compiled to find mistakes, and imported by a loader."""

YAML_WITH_LOADERS = {
    "fitx/experiment/yaml/reader.py": {"parse"},
    "fitx/experiment/dump.py": {"dump"},
}


@cache
def calls():
    """Return every call of the product: its file, what is called, and the call."""
    return list(_calls())


def _calls():
    for folder in ("fitx", "cli", "steps", "configs"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            name = file.relative_to(ROOT).as_posix()
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    yield name, ast.unparse(node.func), node


def test_nothing_is_called_that_executes_what_it_is_given():
    assert not [
        f"{file}:{node.lineno} calls {called}"
        for file, called, node in calls()
        if {called, called.rpartition(".")[2]} & FORBIDDEN or called.partition(".")[0] in PICKLES
    ]


def test_numpy_is_always_told_not_to_unpickle():
    wrong = []
    for file, called, node in calls():
        given = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
        if called in ("np.load", "numpy.load") and given.get("allow_pickle") is not False:
            wrong.append(f"{file}:{node.lineno}")
        assert given.get("allow_pickle", False) is False, file
        assert given.get("shell", False) is False, file
        assert given.get("safe_mode", True) is True, file
    assert not wrong


def test_modules_are_imported_by_name_in_few_places_and_compiled_in_two():
    by_name = {file for file, called, _ in calls() if called.endswith("import_module")}
    assert by_name == IMPORTERS
    compiled = {file for file, called, _ in calls() if called in ("compile", "exec_module")}
    compiled |= {file for file, called, _ in calls() if called.endswith(".source_to_code")}
    assert compiled == COMPILERS


def test_yaml_is_read_as_events_only():
    used = {}
    for file, called, _ in calls():
        module, _, function = called.rpartition(".")
        if module == "yaml":
            used.setdefault(file, set()).add(function)
    assert used == YAML_WITH_LOADERS


PROGRAMS = {
    "fitx/rundir/run_environment.py": "git, asked about the working folder",
    "cli/_workers.py": "the workers of `fitx launch`",
    "fitx/training/child_process.py": "the runs of `fitx selftest` and `fitx test-step`",
}
"""What starts other programs, and which."""


def test_few_modules_start_a_program_and_none_asks_a_shell():
    started = [(file, node) for file, called, node in calls() if called.startswith("subprocess.")]
    assert {file for file, _ in started} <= PROGRAMS.keys()
    words = [node.args[0] for _, node in started if node.args]
    assert not [word for word in words if isinstance(word, ast.Constant | ast.JoinedStr)]
