"""Whose error it is: the user's code, the experiment's values, the data, the machine, or fitx'."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from fitx import memory
from fitx.build.step_errors import advice
from fitx.compat import error_texts
from fitx.engine import callback_list
from fitx.errors import DataError, FitxError, UserCodeError, WorkerLost
from fitx.experiment import plugins
from fitx.experiment.experiment import Experiment
from fitx.experiment.yaml.tree import KeyPath
from fitx.runtime import cluster

_ENGINE = Path(callback_list.__file__).parent


@contextmanager
def blamed(experiment: Experiment, path: KeyPath) -> Iterator[None]:
    """Turn what making a part raises into a problem of its key, or an error of the user's code."""
    with user_errors(experiment):
        try:
            yield
        except FitxError:
            raise
        except Exception as error:
            if memory.is_shortage(error) or is_users(experiment, error):
                raise
            text = f"cannot be made: {first_line(error)}"
            raise experiment.error(path, text) from error


@contextmanager
def user_errors(experiment: Experiment, running: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Turn what a plugin raises into a UserCodeError with its own frames, numbers that an operation
    refuses into a DataError, running out of memory into a DeviceError; the rest passes.

    Args:
        experiment: Whose plugins they are.
        running: Tells which method of the step runs on which split, where that is known; asked
            for errors of the step alone.
    """
    try:
        yield
    except FitxError:
        raise
    except Exception as error:
        if memory.is_shortage(error):
            raise memory.out_of_memory(error, _frames(experiment, error)) from error
        gone = cluster.describe_lost_worker(error) if isinstance(error, tf.errors.OpError) else None
        if gone is not None and experiment.execution.strategy == "multi_worker":
            raise WorkerLost(gone) from error
        where = running() if _of_step(error) else ""
        if is_users(experiment, error):
            raise _users(experiment, error, where) from error
        if isinstance(error, tf.errors.InvalidArgumentError):
            text = f"{where or 'the step'} cannot take a batch: {first_line(error)}"
            raise DataError(text) from error
        raise
    except (SystemExit, KeyboardInterrupt) as error:
        # A signal never becomes one of these here: fitx has handlers of its own.
        if _raised_by_plugin(experiment, error):
            where = running() if _of_step(error) else ""
            raise _users(experiment, error, where) from error
        raise


def _of_step(error: BaseException) -> bool:
    """Whether an error came out of a step that the engine traced or ran, and not of a callback."""
    files = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    within = {file.name for file in files if _ENGINE in file.parents}
    return bool(within) and Path(callback_list.__file__).name not in within


def is_users(experiment: Experiment, error: BaseException) -> bool:
    """Whether an error came out of a plugin: through its frames, or out of the graph it traced."""
    # TensorFlow does not always keep where an operation of a graph comes from.
    unknown = isinstance(error, tf.errors.OpError) and error_texts.lacks_origin(error)
    return bool(_frames(experiment, error)) or (unknown and bool(experiment.plugins))


def first_line(error: BaseException) -> str:
    """Return the first line of a message that says what is wrong, as a sentence."""
    line = error_texts.first_line(error)
    return line if line.endswith((".", "!", "?")) else f"{line}."


def _raised_by_plugin(experiment: Experiment, error: BaseException) -> bool:
    last = traceback.extract_tb(error.__traceback__)[-1:]
    return bool(last) and last[0].filename in map(str, experiment.plugins)


def _users(experiment: Experiment, error: BaseException, running: str) -> UserCodeError:
    what = first_line(error) if isinstance(error, tf.errors.OpError) else error_texts.reason(error)
    instead = advice(experiment, error)
    if instead:
        # TensorFlow's own advice is about AutoGraph, which steps are not converted by.
        what = f"{what.split('. You can')[0].rstrip('.')}. {instead}"
    said = f"{type(error).__name__}: {what}" if what else type(error).__name__
    where = f"{running}: " if running else ""
    return UserCodeError(f"{where}{said}", _frames(experiment, error))


def _frames(experiment: Experiment, error: BaseException) -> str:
    """Return the plugins' own frames; those of a graph stand in TensorFlow's message."""
    frames = plugins.frames(error, *experiment.plugins)
    if frames or not isinstance(error, tf.errors.OpError):
        return frames
    files = tuple(f'File "{path}"' for path in experiment.plugins)
    lines = [line for line in str(error).splitlines() if line.strip().startswith(files)]
    return "\n".join(lines)
