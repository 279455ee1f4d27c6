"""What is reported as committed is there after a power cut, whatever the disk had not yet done.

The calls of a real process are played on a model of a disk, up to each of them. What no `fsync`
has put on it by then may be missing: any one or two of the writes to files and of the changes to
folders, each on its own, as Pillai et al. (All File Systems Are Not Created Equal, OSDI 2014) say.
"""

import base64
import itertools
import os
from contextlib import closing

import numpy as np
import pytest

from fitx import checkpoint
from fitx.errors import StorageError
from fitx.rundir import folder, journal, record


class Change:
    """One thing that a disk may still have to do: to a file's bytes or to a folder's names."""

    def __init__(self, inode, apply):
        self.inode, self.apply, self.on_disk = inode, apply, False


class Disk:
    """Files and folders by number; 0 is the folder in which all happens."""

    def __init__(self):
        self.changes, self.kinds = [], {0: dict}
        self.now = {0: {}}

    def play(self, call, about, data=""):
        """Let a call of driver.py happen."""
        getattr(self, f"_{call}", lambda *_: None)(*about, *([data] if data else []))

    def after(self, dropped):
        """Return what is there if some changes never reached the disk."""
        image = {inode: {} if kind is dict else bytearray() for inode, kind in self.kinds.items()}
        for change in self.changes:
            if change not in dropped:
                change.apply(image)
        return image

    def losses(self):
        """Yield every choice of up to two changes that a power cut may take now."""
        pending = [change for change in self.changes if not change.on_disk]
        for count in (0, 1, 2):
            yield from itertools.combinations(pending, count)

    def _mkdir(self, path, *_):
        self._link(path, self._made(dict))

    def _open(self, path, flags):
        if flags & os.O_CREAT and self._inode(path) is None:
            self._link(path, self._made(bytearray))

    def _write(self, path, data):
        content, inode = base64.b64decode(data), self._inode(path)
        offset = len(self.now[inode])

        def write(image):
            image[inode].extend(bytes(max(0, offset - len(image[inode]))))
            image[inode][offset : offset + len(content)] = content

        self._change(inode, write)

    def _truncate(self, path, size):
        inode = self._inode(path)
        self._change(inode, lambda image: image[inode].__delitem__(slice(size, None)))

    def _fsync(self, path):
        inode = self._inode(path)
        for change in self.changes:
            change.on_disk |= change.inode == inode

    def _rename(self, old, new):
        inode, (parent, name), (other, other_name) = self._inode(old), self._at(old), self._at(new)
        assert parent == other

        def rename(image):
            image[parent].pop(name, None)
            image[parent][other_name] = inode

        self._change(parent, rename)

    _replace = _rename

    def _symlink(self, path, target):
        self._link(path, target)

    def _unlink(self, path):
        parent, name = self._at(path)
        self._change(parent, lambda image: image[parent].pop(name, None))

    _rmdir = _unlink

    def _link(self, path, inode):
        parent, name = self._at(path)
        self._change(parent, lambda image: image[parent].__setitem__(name, inode))

    def _made(self, kind):
        inode = len(self.kinds)
        self.kinds[inode], self.now[inode] = kind, kind()
        return inode

    def _change(self, inode, apply):
        self.changes.append(Change(inode, apply))
        apply(self.now)

    def _at(self, path):
        parent, name = os.path.split(path)
        return self._inode(parent), name

    def _inode(self, path):
        inode = 0
        for part in path.split("/"):
            inode = inode if part in ("", ".") else self.now[inode].get(part)
        return inode


def laid_out(image, place, inode=0):
    """Write what a disk holds into a folder."""
    content = image[inode]
    if not isinstance(content, dict):
        place.write_bytes(content)
        return
    place.mkdir()
    for name, child in content.items():
        if isinstance(child, str):
            (place / name).symlink_to(child)
        else:
            laid_out(image, place / name, child)


def frozen(image, inode=0):
    """Return what a disk holds as something that can stand in a set."""
    content = image.get(inode, inode)
    if isinstance(content, dict):
        return frozenset((name, frozen(image, child)) for name, child in content.items())
    return bytes(content) if isinstance(content, bytearray) else content


@pytest.fixture
def cuts(act, tmp_path):
    """Yield what was reported and what a folder may hold, for a power cut after each call."""

    def cuts(scenario):
        disk, reported, seen = Disk(), [], set()
        for number, told in enumerate(act("trace", scenario)):
            assert "error" not in told
            if "reported" in told:
                reported.append(told["reported"])
            else:
                disk.play(**told)
            for lost in disk.losses():
                image = disk.after(lost)
                state = (len(reported), frozen(image))
                if state not in seen:
                    seen.add(state)
                    place = tmp_path / "cuts" / f"{number}-{len(seen)}"
                    place.parent.mkdir(exist_ok=True)
                    laid_out(image, place)
                    yield list(reported), place
        assert len(seen) > 5

    return cuts


def test_a_checkpoint_that_was_committed_or_a_later_one_is_found(cuts):
    for reported, place in cuts("save"):
        if not reported and not list((place / "checkpoints").glob("0*")):
            continue
        found = checkpoint.newest(place / "checkpoints")
        assert found.step in (len(reported), len(reported) + 1), place
        assert found.state["a"].tobytes() == (np.arange(4000.0) * found.step).tobytes()
        assert found.meta == {"epoch": found.step}


def test_without_fsync_a_committed_checkpoint_could_be_lost(cuts):
    def newest(place):
        try:
            found = checkpoint.newest(place / "checkpoints")
            return found.step if found else 0
        except StorageError:
            return -1

    assert any(newest(place) < len(reported) for reported, place in cuts("save_unsynced"))


def test_a_replaced_file_holds_what_was_reported_or_the_next(cuts):
    for reported, place in cuts("replace"):
        path, done = place / "file", len(reported)
        content = path.read_text() if path.exists() else "0" * 10_000
        assert content in ("0123"[n] * 10_000 for n in (done, min(done + 1, 3))), place


def test_a_record_is_as_new_as_was_reported(cuts):
    legal = {0: (None, "running"), 1: ("running", "finished"), 2: ("finished",)}
    for reported, place in cuts("recorded"):
        status = record.load(place)["status"] if (place / "run.json").exists() else None
        assert status in legal[len(reported)], place


def test_a_journal_holds_the_epochs_that_were_put_on_the_disk(cuts):
    for reported, place in cuts("journals"):
        if reported or (place / journal.NAME).exists():
            epochs = [line["epoch"] for line in journal.read(place)]
            assert epochs[: len(reported)] == reported, place


def test_a_journal_gone_on_with_can_be_cut_again(cuts):
    for reported, place in cuts("journal_gone_on_with"):
        if reported:
            with closing(
                journal.Journal(
                    place, 2 * len('{"epoch": 1, "step": 10, "seconds": 1, "old": 1}\n')
                )
            ):
                assert [line["epoch"] for line in journal.read(place)] == [1, 2], place


def test_a_run_that_was_made_is_found(cuts):
    for reported, place in cuts("run_made"):
        for name in reported:
            assert (place / "digits" / name / "checkpoints").is_dir(), place
            (place / "digits" / name / "run.json").write_text('{"status": "running"}')
            assert folder.find_run("digits", place).name == name
