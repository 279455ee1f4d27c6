"""A checkpoint is committed or it is not, wherever the process dies or the disk fails."""

import numpy as np

from fitx import checkpoint


def names(root):
    return sorted(path.name for path in root.iterdir()) if root.is_dir() else []


def saved(root, step):
    """Whether a checkpoint holds, bit for bit, what driver.py saves after a step."""
    state, meta = checkpoint.load(root / f"{step:06}")
    same_b = state["b"].tobytes() == np.full(7, step, "uint32").tobytes()
    same_a = state["a"].tobytes() == (np.arange(4000.0) * step).tobytes()
    return same_a and same_b and meta == {"epoch": step}


def assert_recovered(root, reported):
    """Every checkpoint is whole, the newest is no older than reported, the next save tidies up."""
    found = checkpoint.newest(root)
    whole = [int(name) for name in names(root) if not name.startswith(".tmp-")]
    assert all(saved(root, step) for step in whole)
    assert (found.step if found else 0) in (reported, reported + 1)
    assert found is None or found.skipped == ()
    checkpoint.save(root, 9, {}, {}, keep=2)
    assert names(root) == [f"{step:06}" for step in [*whole[-1:], 9]]


def test_a_kill_before_or_after_any_call_leaves_what_was_committed(faults, kills):
    cases = faults("save", *kills)
    for case in cases:
        assert_recovered(case["folder"] / "checkpoints", max(case["reported"], default=0))
    for part in ("state.npz", "meta.json", "rename", "fsync"):
        for committed in ([], [1], [1, 2]):
            assert any(part in c["fired"] and c["reported"] == committed for c in cases)


def test_an_error_at_any_call_is_told_and_leaves_what_was_committed(faults, errors, reason):
    for case in faults("save", *errors):
        root, reported = case["folder"] / "checkpoints", max(case["reported"], default=0)
        if "error" in case:
            assert case["code"] == 7
            assert case["error"] == (
                f"cannot write checkpoint {root}/{reported + 1:06}: {reason(case['kind'])}. "
                "Earlier checkpoints are untouched."
            )
            left = [name for name in names(root) if name.startswith(".tmp-")]
            assert not (left and case["kind"].endswith("once")), case
        assert_recovered(root, reported)
