"""Whose error it is: the user's code, the experiment's values, the machine's memory, or fitx'."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from fitx.errors import DeviceError, FitxError, UserCodeError
from fitx.experiment import plugins
from fitx.experiment.experiment import Experiment
from fitx.experiment.tree import Path as KeyPath


@contextmanager
def blamed(experiment: Experiment, path: KeyPath) -> Iterator[None]:
    """Turn what making a part raises into a problem of its key, or an error of the user's code."""
    with user_errors(experiment):
        try:
            yield
        except FitxError:
            raise
        except (ValueError, TypeError) as error:
            if is_users(experiment, error):
                raise
            text = f"cannot be made: {first_line(error)}"
            raise experiment.error(path, text) from error


@contextmanager
def user_errors(experiment: Experiment) -> Iterator[None]:
    """Turn what a plugin raises into a UserCodeError with its own frames, and running out of memory
    into a DeviceError; anything else is fitx' own and passes.
    """
    try:
        yield
    except FitxError:
        raise
    except tf.errors.ResourceExhaustedError as error:
        text = f"out of memory: {first_line(error)} Lower data.batch_size, or the networks' size."
        raise DeviceError(text) from error
    except Exception as error:
        if not is_users(experiment, error):
            raise
        frames = plugins.frames(error, *experiment.plugins)
        raise UserCodeError(f"{type(error).__name__}: {error}", frames) from error


def is_users(experiment: Experiment, error: BaseException) -> bool:
    """Whether an error came out of a plugin: through its frames, or out of the graph it traced."""
    in_graph = bool(experiment.plugins) and isinstance(error, tf.errors.OpError)
    return in_graph or bool(plugins.frames(error, *experiment.plugins))


def first_line(error: BaseException) -> str:
    """Return the first line of a message, as a sentence; the rest of Keras' shows objects."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0] if lines[0].endswith((".", "!", "?")) else f"{lines[0]}."
