"""The house holds: floors, leaves, packages and sizes, read from the source."""

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {"fitx": "fitx", "cli": "fitx.cli", "steps": "fitx.steps", "configs": "fitx.configs"}
FLOORS = [
    ["errors", "redaction", "stages", "external_settings", "compat"],
    ["experiment", "registry", "safe_files", "json_text", "json_model", "memory"],
    ["checkpoint", "rundir", "runtime", "data"],
    ["step", "engine"],
    ["steps", "models", "datasets", "callbacks"],
    ["build"],
    ["training"],
    ["commands"],
    ["cli"],
    ["__main__"],
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
BESIDE = {("experiment", "registry"), ("step", "engine"), ("compat", "errors")}
"""Rooms of one floor of which the first may import the second, and not the other way round."""
LEAVES = {"step": "steps", "model": "models", "dataset": "datasets", "callback": "callbacks"}
WITHOUT_TENSORFLOW = (
    "fitx.errors",
    "fitx.redaction",
    "fitx.stages",
    "fitx.experiment",
    "fitx.registry",
    "fitx.safe_files",
    "fitx.json_text",
    "fitx.json_model",
    "fitx.external_settings",
    "fitx.memory",
    "fitx.rundir",
    "fitx.checkpoint",
    *(f"fitx.data.{name}" for name in ("splits", "order", "array_checks", "prepare")),
    *(f"fitx.training.{name}" for name in ("train_request", "result", "signals", "child_process")),
    "fitx.training.display_interface",
    "fitx.training.resumption",
    *(f"fitx.commands.{name}" for name in ("doctor", "checkpoints", "selftest", "copy")),
    "fitx.cli",
)
PRIVATE_PACKAGES = ("keras.src", "keras/src", "tensorflow.python", "tensorflow.compiler")
PRIVATE_PACKAGES += ("tf.__internal__",)
"""Where Keras and TensorFlow keep what no version of them promises."""
PUBLIC_UNDERSCORES = ("_replace", "_exit")
"""Names of Python's own that are public in spite of their underscore."""
RIDDLES = ("What", "Whether", "Where", "How", "That", "Of", "Why", "Which", "Who", "When", "From")
"""Words that begin no first line of a docstring: it says what a thing is or does."""
MOST_LINES = 250
MOST_FUNCTION_LINES = 40


@dataclass(frozen=True)
class Module:
    """One source file: where it is, what it is imported as, and its tree."""

    file: Path
    name: str
    tree: ast.Module

    @property
    def room(self):
        """The room it stands in; `fitx` itself stands in none."""
        return (self.name.split(".") + [""])[1]

    def imports(self, *, everywhere=True) -> Iterator[str]:
        """Yield every module it imports, and every name it imports from one, in full."""
        nodes = ast.walk(self.tree) if everywhere else self.tree.body
        for node in nodes:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                yield from (f"{base}.{alias.name}" for alias in node.names)

    def _base(self, node: ast.ImportFrom):
        if not node.level:
            return node.module
        package = self.name.split(".")
        if self.file.name != "__init__.py":
            package = package[:-1]
        package = package[: len(package) - node.level + 1]
        return ".".join([*package, *([node.module] if node.module else [])])

    def calls(self) -> Iterator[tuple[str, ast.Call]]:
        """Yield every call with what is called, as it is written."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield ast.unparse(node.func), node


@cache
def modules() -> tuple[Module, ...]:
    """Return every module of the package."""
    found = []
    for folder, package in FOLDERS.items():
        for file in sorted((ROOT / folder).rglob("*.py")):
            parts = file.relative_to(ROOT / folder).with_suffix("").parts
            name = ".".join([package, *(part for part in parts if part != "__init__")])
            found.append(Module(file, name, ast.parse(file.read_text(encoding="utf-8"))))
    return tuple(found)


def leaves(package):
    """Return the files of a room of leaves, each of which is one part."""
    return [
        module
        for module in modules()
        if module.name.startswith(f"fitx.{package}.") and not module.file.name.startswith("_")
    ]


def is_in(name, packages):
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def room_of(imported):
    return (imported.split(".") + [""])[1] if imported.startswith("fitx.") else ""


def test_the_levels_are_those_of_the_documentation():
    documented = []
    rows = re.findall(
        r"^\| (\d*) ?\| (`[^|]+`) \|", (ROOT / "docs/extending.md").read_text(), re.MULTILINE
    )
    for level, packages in rows:
        if level:
            documented.append((int(level), set()))
        documented[-1][1].update(re.findall(r"`(?:fitx/)?(\w+)(?:\.py)?`", packages))
    # No package imports __main__.
    assert sorted(documented) == list(enumerate(map(set, FLOORS[:-1])))


def test_every_room_stands_on_a_floor():
    rooms = {module.room for module in modules()} - {"", "configs"}
    assert rooms <= set(FLOOR)


def test_a_room_imports_only_from_floors_below_it():
    wrong = []
    for module in modules():
        for imported in module.imports():
            ours, theirs = module.room, room_of(imported)
            if theirs not in FLOOR or ours in ("", theirs) or (ours, theirs) in BESIDE:
                continue
            if FLOOR[theirs] >= FLOOR[ours]:
                wrong.append(f"{module.name} imports {imported}")
    assert not wrong


def test_no_leaf_imports_a_neighbour():
    wrong = [
        f"{module.name} imports {imported}"
        for package in LEAVES.values()
        for module in leaves(package)
        for imported in module.imports()
        if room_of(imported) in LEAVES.values()
        and imported not in (f"fitx.{package}.register", f"fitx.{package}")
        and not imported.split(".")[2].startswith("_")
    ]
    assert not wrong


def test_every_name_without_tensorflow_is_that_of_a_module():
    names = [module.name for module in modules()]
    assert not [name for name in WITHOUT_TENSORFLOW if name not in names]


def test_the_lower_rooms_and_the_command_import_no_tensorflow_at_their_top():
    wrong = [
        f"{module.name} imports {imported}"
        for module in modules()
        if is_in(module.name, WITHOUT_TENSORFLOW)
        for imported in module.imports(everywhere=False)
        if is_in(imported, ("tensorflow", "keras"))
    ]
    assert not wrong


def test_what_needs_no_tensorflow_does_not_import_it_by_way_of_others():
    names = [m.name for m in modules() if is_in(m.name, WITHOUT_TENSORFLOW)]
    script = (
        f"import importlib, sys\nfor name in {names}: importlib.import_module(name)\n"
        "print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_imports_stand_at_the_top_except_in_the_command():
    inside = [
        f"{module.name} in {function.name}"
        for module in modules()
        if module.room not in ("", "cli")
        for function in ast.walk(module.tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert not inside


@pytest.mark.parametrize("package", LEAVES.values())
def test_a_leaf_registers_exactly_one_part(package):
    for module in leaves(package):
        registered = [
            node.name
            for node in module.tree.body
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
            and any(ast.unparse(d).endswith("register") for d in node.decorator_list)
        ]
        assert len(registered) == 1, f"{module.name} registers {registered}"
        flat = registered[0].replace("_", "").lower()
        assert flat == module.file.stem.replace("_", ""), f"{module.name} registers {flat}"


@pytest.mark.parametrize("package", LEAVES.values())
def test_a_leaf_has_a_test(package):
    tested = "\n".join(f.read_text() for f in (ROOT / "tests" / package).glob("test_*.py"))
    untested = [m.name for m in leaves(package) if not names(m.file.stem, tested)]
    assert not untested


def names(word, text):
    """Return whether a text holds a word, in snake_case or as a class's name."""
    camel = word.replace("_", "")
    return re.search(rf"\b({word}|{camel})\b", text, re.IGNORECASE) is not None


def test_pyproject_lists_exactly_the_packages_that_are_there():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    there = {
        ".".join([package, *folder.relative_to(ROOT / top).parts]): folder.relative_to(ROOT)
        for top, package in FOLDERS.items()
        for folder in [ROOT / top, *(p for p in (ROOT / top).rglob("*") if p.is_dir())]
        if any(folder.glob("*.py"))
    }
    assert sorted(settings["packages"]) == sorted(there)
    for package, folder in settings["package-dir"].items():
        assert there[package] == Path(folder)
    for package, folder in there.items():
        assert (ROOT / folder / "__init__.py").is_file()
        mapped = settings["package-dir"].get(package, package.replace(".", "/"))
        assert Path(mapped) == folder


def test_nothing_prints_outside_the_command():
    writers = ("print", "sys.stdout.write", "sys.stderr.write", "click.echo")
    wrong = [
        f"{module.name}:{node.lineno}"
        for module in modules()
        if module.room != "cli"
        for name, node in module.calls()
        if name in writers
    ]
    assert not wrong


def test_no_module_imports_what_unpickles():
    unsafe = ("pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle")
    imported = [(m.name, i) for m in modules() for i in m.imports() if is_in(i, unsafe)]
    assert not imported


def test_private_packages_of_keras_and_tensorflow_are_named_in_compat_alone():
    wrong = [
        f"{module.name} names {package}"
        for module in modules()
        if module.room != "compat"
        for package in PRIVATE_PACKAGES
        if package in module.file.read_text()
    ]
    assert not wrong


def test_private_attributes_of_other_packages_are_used_in_compat_alone():
    wrong = [
        f"{module.name} uses {attribute}"
        for module in modules()
        if module.room != "compat"
        for attribute in foreign_attributes(module.tree)
    ]
    assert not wrong


def foreign_attributes(tree):
    """Yield the private attributes that a module reads of objects that are not its own classes'."""
    defined = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    defined |= {node.attr for node in attributes if ast.unparse(node.value) in ("self", "cls")}
    yield from (
        ast.unparse(node)
        for node in attributes
        if is_private(node.attr)
        and node.attr not in defined
        and ast.unparse(node.value) not in ("self", "cls", "super()")
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr"):
            name = node.args[1]
            is_named = isinstance(name, ast.Constant) and is_private(name.value)
            yield from [ast.unparse(node)] * is_named


def is_private(name):
    return name.startswith("_") and not name.endswith("__") and name not in PUBLIC_UNDERSCORES


def test_every_use_of_a_private_name_has_a_test_that_its_docstring_names():
    wrong = []
    tools = {"__init__", "required_names", "replacement"}
    for module in modules():
        if module.room != "compat" or module.file.stem in tools:
            continue
        docstring = ast.get_docstring(module.tree) or ""
        tests = re.findall(r"tests/\w+/test_\w+\.py", docstring)
        names = re.findall(r"\btest_\w+\b(?!\.py)", docstring)
        tested = "".join((ROOT / test).read_text() for test in tests)
        wrong += [f"{module.name} names no test"] * (not names or not tests)
        wrong += [f"{module.name}: {name}" for name in names if f"def {name}(" not in tested]
    assert not wrong


def test_no_command_imports_another():
    wrong = [
        f"{module.name} imports {imported}"
        for module in modules()
        if module.name.startswith("fitx.commands.")
        for imported in module.imports()
        if imported.startswith("fitx.commands.") and imported.split(".")[2] != command_of(module)
    ]
    assert not wrong


def command_of(module):
    return module.name.split(".")[2]


def test_a_class_and_a_module_have_a_name_of_their_own():
    classes = Counter(
        node.name
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
    )
    # The file of a subcommand has the command's name, whichever module does the work.
    stems = Counter(
        module.file.stem
        for module in modules()
        if module.file.stem not in ("__init__", "__main__")
        and (module.file.parent != ROOT / "cli" or module.file.stem.startswith("_"))
    )
    assert not [name for name, count in (classes + stems).items() if count > 1]


def test_first_lines_of_docstrings_say_what_a_thing_is_or_does():
    wrong = [
        f"{module.name}: {text.splitlines()[0]}"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if (text := ast.get_docstring(node)) and text.split()[0] in RIDDLES
    ]
    assert not wrong


def test_modules_and_functions_stay_short():
    wrong = []
    for module in modules():
        lines = len(module.file.read_text().splitlines())
        wrong += [f"{module.name} has {lines} lines"] * (lines > MOST_LINES)
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = code_lines(node)
                long = length > MOST_FUNCTION_LINES
                wrong += [f"{module.name}.{node.name} has {length} lines"] * long
    assert not wrong


def code_lines(function):
    """Count the lines of a function, its docstring aside."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function) is None:
        return lines
    docstring = function.body[0]
    return lines - ((docstring.end_lineno or 0) - docstring.lineno + 1)


def test_the_help_is_quick_because_it_imports_nothing_that_reads_experiments():
    script = (
        "import sys\nfrom fitx.cli.main import main\nsys.argv = ['fitx', '--help']\n"
        "try: main()\nfinally: print(sorted(m for m in sys.modules if 'experiment.check' in m"
        " or 'experiment.experiment' in m))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.endswith("\n[]\n")


def test_every_folder_of_tests_is_run(request):
    # Pytest leaves some out by their names alone, such as build.
    left_out = request.config.getini("norecursedirs")
    folders = {up.name for file in (ROOT / "tests").rglob("test_*.py") for up in file.parents}
    assert not [name for name in folders if any(fnmatch(name, pattern) for pattern in left_out)]


def test_only_one_module_writes_to_the_standard_streams():
    """The displays of a run write by streams of their own; tests of each hold them to it."""
    writing = ("print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write")
    wrong = [
        f"{module.name} calls {called}"
        for module in modules()
        if module.name != "fitx.cli._output"
        for called, _ in module.calls()
        if called in writing
    ]
    assert not wrong
