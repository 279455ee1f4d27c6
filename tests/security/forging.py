"""Random mistakes in one file of a run folder, under checksums that are right again."""

import hashlib
import io
import json
import os
import random
import zipfile
from dataclasses import dataclass

import yaml

META, STATE = "meta.json", "state.npz"
FILES = ("run.json", "summary.json", META, "metrics.jsonl", "experiment.yaml", STATE)

NUMBERS = (0, 1, -1, -3, 2, 3, 7, 100, 100_000, 10**17, 10**18, 2**31, 2**63, -(2**63), 10**30)
FLOATS = (0.5, -0.5, 2.0, 1e-320, 1e308, float("nan"), float("inf"), float("-inf"))
TEXTS = ("", "x", "nan", "inf", "\x1b[2J", "\u202e", "\ud800", "a\nb", "../..", "000001", "0" * 64)
TEXTS += ("plain", "fused", "finished", "running", "epoch", "validation", "${env:HOME}", "9" * 5000)
OTHERS = (None, True, False, [], {}, [[]], [{}], {"$array": "x"}, {"$float": "nan"}, {"name": "x"})


def nested(levels):
    """Return lists in lists, as JSON has them."""
    return json.loads("[" * levels + "]" * levels)


VALUES = (*NUMBERS, *FLOATS, *TEXTS, *OTHERS, nested(90), nested(190), nested(300), "z" * 10_000)


@dataclass(frozen=True)
class Forgery:
    """One mistake: the file it is in, the key it is at, and what it is."""

    file: str
    key: tuple
    what: str

    @property
    def field(self):
        """The key with dots, without the numbers of lines and items."""
        return ".".join(str(step) for step in self.key if not isinstance(step, int))


def forge(run, file, number):
    """Make the mistake of a number in a file of a run that has one checkpoint."""
    chance = random.Random(f"{file} {number}")
    (folder,) = (run / "checkpoints").iterdir()
    path = folder / file if file in (META, STATE) else run / file
    if file == STATE:
        return forge_state(folder, chance)
    if chance.random() < 0.15:
        return forge_bytes(path, chance)
    if file == META and chance.random() < 0.1:
        return forge_position(run, folder, chance)
    return forge_value(path, chance)


def forge_value(path, chance):
    """Change one value of a file that holds a tree, however it is written."""
    text = path.read_text()
    lines = text.splitlines() if path.suffix == ".jsonl" else [text]
    trees = [yaml.safe_load(line) if path.suffix == ".yaml" else json.loads(line) for line in lines]
    if path.suffix != ".jsonl":
        (tree,) = trees
        # Of most of what meta.json says, the table of arrays, a mistake is like another.
        is_inside = path.name == META and chance.random() < 0.8
        key, what = mutate(tree["meta"] if is_inside else tree, chance)
        key = ("meta", *key) if is_inside else key
        path.write_bytes(encoded(signed(tree) if path.name == META else tree))
        return Forgery(path.name, key, what)
    if chance.random() < 0.2:
        what = chance.choice(("twice", "away", "swapped"))
        index = chance.randrange(len(trees))
        if what == "swapped":
            chance.shuffle(trees)
        trees[index : index + 1] = [trees[index]] * (2 if what == "twice" else what == "swapped")
        key = ("step",)
    else:
        key, what = mutate(trees, chance)
    path.write_bytes(b"".join(encoded(tree) + b"\n" for tree in trees))
    return Forgery(path.name, key, what)


def mutate(tree, chance):
    """Change a tree in one place; return where, and how."""
    nodes = list(walked(tree))
    parent, path = chance.choice(nodes)
    key, value = path[-1], parent[path[-1]]
    kind = chance.choice(("value", "value", "value", "near", "gone", "more", "swap"))
    if kind == "near" and isinstance(value, int | float):
        parent[key] = value + chance.choice((1, -1, 0.5, 2, -value))
    elif kind == "gone":
        del parent[key]
    elif kind == "more" and isinstance(parent, dict):
        parent["more"] = chance.choice(VALUES)
        path = (*path[:-1], "more")
    elif kind == "swap":
        other, other_path = chance.choice(nodes)
        if other_path[-1] in (other if isinstance(other, dict) else range(len(other))):
            parent[key] = json.loads(json.dumps(other[other_path[-1]]))
    else:
        kind, parent[key] = "value", chance.choice(VALUES)
    found = parent[key] if kind != "gone" else ""
    return path, f"{kind} {json.dumps(found)[:80]}"


def walked(tree, path=()):
    """Yield every list and object of a tree with the key of every value that it holds."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield tree, (*path, key)
        if isinstance(value, dict | list):
            yield from walked(value, (*path, key))


def forge_position(run, folder, chance):
    """Let a run stand elsewhere, and everything that says where it stands agree."""
    about = json.loads((folder / META).read_text())
    step = chance.choice((0, 3, 4, 6, 7, 8, 10**17))
    known = about["meta"]
    what = f"step {step}"
    about["step"] = known["step"] = step
    if chance.random() < 0.5:
        known["epoch"] = chance.choice((0, 1, 2, 3, 10**16))
        what = f"{what} of epoch {known['epoch']}"
    if chance.random() < 0.5:
        known["passed"] = chance.choice((0, 1, 2, 3, 10**17))
        what = f"{what} after {known['passed']}"
    (folder / META).write_bytes(encoded(signed(about)))
    folder.rename(folder.with_name(f"{step:06d}"))
    return Forgery(META, ("position",), what)


def forge_bytes(path, chance):
    """Cut a file, flip a bit of it, or put some bytes into it."""
    content = bytearray(path.read_bytes())
    where, what = chance.randrange(len(content)), chance.choice(("cut", "flip", "insert", "twice"))
    if what == "cut":
        del content[where:]
    elif what == "flip":
        content[where] ^= 1 << chance.randrange(8)
    elif what == "insert":
        content[where:where] = chance.choice(
            (b"\x00", b"\n", b'"', b"[", b"\xff", b"1", b"[" * 999)
        )
    else:
        content[where:where] = content[where : where + chance.randrange(1, 200)]
    path.write_bytes(content)
    return Forgery(path.name, ("bytes",), f"{what} at {where}")


def forge_state(folder, chance):
    """Change the archive of arrays, or one member of it, and sign it again."""
    path, what = folder / STATE, "member"
    if chance.random() < 0.5:
        what = forge_bytes(path, chance).what
    else:
        with zipfile.ZipFile(path) as archive:
            members = {name: bytearray(archive.read(name)) for name in archive.namelist()}
        member = members[chance.choice(list(members))]
        where = chance.randrange(len(member))
        member[where] ^= 1 << chance.randrange(8)
        memory, what = io.BytesIO(), f"{what} at {where}"
        with zipfile.ZipFile(memory, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, bytes(content))
        path.write_bytes(memory.getvalue())
    about = json.loads((folder / META).read_text())
    content = path.read_bytes()
    about["state"] |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / META).write_bytes(encoded(signed(about)))
    return Forgery(STATE, ("bytes",), what)


def signed(about):
    """Return what meta.json says, under its right checksum."""
    about.pop("sha256", None)
    text = json.dumps(about, sort_keys=True)
    return {**about, "sha256": hashlib.sha256(text.encode()).hexdigest()}


def encoded(tree):
    return os.fsencode(json.dumps(tree))
