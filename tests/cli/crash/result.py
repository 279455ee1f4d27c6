"""What a run left, but for times: all of it is to be the same for a run that was ended."""

import io
import json
import zipfile

import h5py

from fitx import checkpoint
from fitx.checkpoint import folders


class Result:
    """What a run left, to be compared."""

    def __init__(self, run):
        newest = checkpoint.newest(run / "checkpoints")
        assert not newest.skipped
        self.step, self.state = newest.step, newest.state
        own = ("seconds", "begun", "journal_bytes", "run")
        self.meta = {k: v for k, v in newest.meta.items() if k not in own}
        lines = (run / "metrics.jsonl").read_text().splitlines()
        self.epochs = [{**json.loads(line), "seconds": 0} for line in lines]
        summary = json.loads((run / "summary.json").read_text())
        self.summary = {
            k: v for k, v in summary.items() if k not in ("seconds", "examples_per_second")
        }
        self.networks = {p.relative_to(run): _weights(p) for p in run.rglob("*.keras")}
        self.status = json.loads((run / "run.json").read_text())["status"]
        files = (path.relative_to(run) for path in run.rglob("*") if path.is_file())
        self.files = {_without_revision(file) for file in files}

    def differences(self, other):
        """Return the names of what is not the same to the bit."""
        names = self.state.keys() ^ other.state.keys()
        both = self.state.keys() & other.state.keys()
        names |= {n for n in both if self.state[n].tobytes() != other.state[n].tobytes()}
        facts = ("step", "meta", "epochs", "summary", "networks", "files", "status")
        return names | {f for f in facts if getattr(self, f) != getattr(other, f)}


def _without_revision(file):
    if file.parts[0] != "checkpoints":
        return str(file)
    return f"checkpoints/{folders.order(file.parts[1])[0]}/{'/'.join(file.parts[2:])}"


def _weights(path):
    """Return the bytes of every array in a Keras file."""
    found = {}

    def note(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()].tobytes()

    with zipfile.ZipFile(path) as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content) as file:
        file.visititems(note)
    assert found
    return found
