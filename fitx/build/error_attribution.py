"""Attributes errors to the user's code, the experiment, the data, the machine or fitx."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from fitx import memory
from fitx.build.step_errors import advice
from fitx.compat import error_texts
from fitx.engine import callback_list, trainer
from fitx.errors import DataError, FitxError, UserCodeError, WorkerLost
from fitx.experiment import plugins
from fitx.experiment.experiment import Experiment
from fitx.experiment.yaml.tree import KeyPath
from fitx.runtime import cluster

_TRAINER, _CALLBACK_LIST = Path(trainer.__file__), Path(callback_list.__file__)
_ENGINE = _TRAINER.parent


@contextmanager
def attribute_errors(experiment: Experiment, path: KeyPath) -> Iterator[None]:
    """Turn an error while a part is made into a problem of its key, or a UserCodeError."""
    with user_errors(experiment):
        try:
            yield
        except FitxError:
            raise
        except Exception as error:
            if memory.is_shortage(error) or raised_by_user_code(experiment, error):
                raise
            text = f"cannot be made: {first_sentence(error)}"
            raise experiment.error(path, text) from error


@contextmanager
def user_errors(experiment: Experiment, running: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Convert errors of the block: a plugin's into UserCodeError with the plugin's frames, invalid
    numbers in an operation into DataError, lack of memory into DeviceError; others pass.

    Args:
        experiment: The experiment with the plugins.
        running: Returns the method and the split that are running; called for errors of the step.
    """
    try:
        yield
    except FitxError:
        raise
    except Exception as error:
        if memory.is_shortage(error):
            raise memory.out_of_memory(error, _frames(experiment, error)) from error
        lost = cluster.describe_lost_worker(error) if isinstance(error, tf.errors.OpError) else None
        if lost is not None and experiment.execution.strategy == "multi_worker":
            raise WorkerLost(lost) from error
        where = running() if _of_step(error) else ""
        if raised_by_user_code(experiment, error):
            raise _user_code_error(experiment, error, where) from error
        if isinstance(error, tf.errors.InvalidArgumentError):
            text = f"{where or 'the step'} cannot take a batch: {first_sentence(error)}"
            raise DataError(text) from error
        raise
    except (SystemExit, KeyboardInterrupt) as error:
        # Signals do not raise these: fitx installs its own handlers.
        if _raised_by_plugin(experiment, error):
            where = running() if _of_step(error) else ""
            raise _user_code_error(experiment, error, where) from error
        raise


def _of_step(error: BaseException) -> bool:
    """Return whether a step raised an error, while it was traced or run, and not a callback."""
    files = {Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)}
    engine = {file for file in files if _ENGINE in file.parents}
    # `fit` runs steps in other files of the engine. Callbacks are called by Keras, whose frames are
    # not in the traceback, or by callback_list.py, which never runs a step.
    return bool(engine - {_TRAINER}) and _CALLBACK_LIST not in engine


def raised_by_user_code(experiment: Experiment, error: BaseException) -> bool:
    """Return whether a plugin raised an error, in its own frames or in an operation it traced."""
    # TensorFlow does not always record where an operation was created.
    unknown = isinstance(error, tf.errors.OpError) and error_texts.lacks_origin(error)
    return bool(_frames(experiment, error)) or (unknown and bool(experiment.plugins))


def first_sentence(error: BaseException) -> str:
    """Return the first line of an error's message as a sentence."""
    line = error_texts.first_line(error)
    return line if line.endswith((".", "!", "?")) else f"{line}."


def _raised_by_plugin(experiment: Experiment, error: BaseException) -> bool:
    last = traceback.extract_tb(error.__traceback__)[-1:]
    return bool(last) and last[0].filename in map(str, experiment.plugins)


def _user_code_error(experiment: Experiment, error: BaseException, running: str) -> UserCodeError:
    what = (
        first_sentence(error) if isinstance(error, tf.errors.OpError) else error_texts.reason(error)
    )
    instead = advice(experiment, error)
    if instead:
        # TensorFlow's own advice is about AutoGraph, which fitx does not apply to steps.
        what = f"{what.split('. You can')[0].rstrip('.')}. {instead}"
    description = f"{type(error).__name__}: {what}" if what else type(error).__name__
    where = f"{running}: " if running else ""
    return UserCodeError(f"{where}{description}", _frames(experiment, error))


def _frames(experiment: Experiment, error: BaseException) -> str:
    """Return the frames of plugins; for an operation, they are in TensorFlow's message."""
    frames = plugins.frames(error, *experiment.plugins)
    if frames or not isinstance(error, tf.errors.OpError):
        return frames
    files = tuple(f'File "{path}"' for path in experiment.plugins)
    lines = [line for line in str(error).splitlines() if line.strip().startswith(files)]
    return "\n".join(lines)
