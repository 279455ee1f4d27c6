"""Reads the causes of Keras' and TensorFlow's errors from their messages.

Their exceptions have no fields for the operation, the layer or the worker that failed: the message
alone names them. Errors of Keras' own code are recognized by the files in the traceback.
Tests that fail when Keras or TensorFlow changes: tests/compat/test_error_texts.py:
test_tensorflow_still_says_where_in_a_graph_on_lines_of_their_own,
test_tensorflow_still_keeps_the_origin_of_an_operation_that_fails,
test_tensorflow_still_says_for_what_a_value_was_wanted_in_a_trace,
test_keras_still_says_in_which_layer_an_error_was and
test_keras_still_computes_metrics_and_losses_in_folders_of_these_names; for errors of workers,
tests/distribution/test_multi_worker.py:
test_a_worker_that_dies_ends_the_others_with_one_line_and_exit_code_4.
"""

from __future__ import annotations

import re
import traceback

_PLACE = re.compile(r"\s*(File \"|\[\[|Detected at node |Graph execution error|\d+ root error)")
_COLOUR = re.compile(r"\x1b\[\d*m")
_IN_LAYER = re.compile(
    r"Exception encountered when calling (?P<layer>.+?)\.\n\n(?P<reason>.*?)"
    r"\n\nArguments received by ",
    re.DOTALL,
)
_WORKER_LOST = re.compile(
    r"Collective ops is aborted|heartbeat|unhealthy|[Cc]onnection (reset|refused)|Socket closed"
    r"|failed to connect|coordination service"
)
_TASK = re.compile(r"/job:(chief|worker)(?:/replica:\d+)?/task:(\d+)")
_VALUES_WANTED = {
    "as a Python `bool`": "bool",
    "Iterating over": "iteration",
    "SymbolicTensor": "number",
}


def reason(error: BaseException) -> str:
    """Return what an error says; of one inside a layer of Keras its own words, then the layer."""
    text = _COLOUR.sub("", str(error))
    in_layer = _IN_LAYER.search(text)
    if in_layer is None:
        return text
    return f"{in_layer['reason'].strip().rstrip('.')} (in {in_layer['layer']})."


def first_line(error: BaseException) -> str:
    """Return the first line of an error that says what is wrong, and not where in a graph."""
    lines = (line for line in reason(error).splitlines() if line.strip() and not _PLACE.match(line))
    return next(lines, type(error).__name__).strip()


def lacks_origin(error: BaseException) -> bool:
    """Return whether TensorFlow no longer knows where the operation that failed was made."""
    return "stack traces unavailable" in str(error)


def came_through(error: BaseException, folder: str) -> bool:
    """Return whether an error passed through Keras' own code in a folder such as "metrics"."""
    frames = traceback.extract_tb(error.__traceback__)
    return any(f"/keras/src/{folder}/" in frame.filename for frame in frames)


def requested_python_value(error: BaseException) -> str | None:
    """Return how Python code tried to use a symbolic tensor as a value.

    Returns:
        "bool", "iteration" or "number"; None for other errors.
    """
    text = str(error)
    return next((use for words, use in _VALUES_WANTED.items() if words in text), None)


def lost_workers(error: BaseException) -> set[str] | None:
    """Return the workers that an error says are gone, such as `worker 1`; None for other errors."""
    text = str(error)
    if not _WORKER_LOST.search(text):
        return None
    return {f"{job} {number}" for job, number in _TASK.findall(text)}
