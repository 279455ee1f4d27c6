"""Everything fitx says when it stops early, one class per exit code.

FitxError              something the user can act on; printed without a traceback
├── ConfigError     2  one or many problems of one experiment (fitx.experiment.problems)
├── UsageError      2  words on the command line that lead nowhere
├── DataError       3  numbers that cannot be trained on
├── DeviceError     4  a device, a package or memory that this machine lacks
├── Diverged        5  a logged value or a weight is NaN or infinite
├── ExpectationError 6 a value missed what `expect:` asks
├── StorageError    7  disk full, unreadable or damaged files
├── BusyError       8  another process works in the run folder
├── Interrupted  129, 130, 143  a signal asked the run to stop
└── UserCodeError   1  the user's own code raised; carries the user's own frames
"""


class FitxError(Exception):
    """Something the user can act on; its text is all that is printed.

    `run` is the run folder in which it happened, where there was one by then.
    """

    exit_code = 1
    run: str | None = None


class UsageError(FitxError):
    """Words on the command line that lead nowhere."""

    exit_code = 2


class DataError(FitxError):
    """Numbers that cannot be trained on, with where they stand and what would do."""

    exit_code = 3


class DeviceError(FitxError):
    """A device, driver or package that the experiment needs and this machine lacks."""

    exit_code = 4


class OutOfMemory(DeviceError):
    """Data, networks or what a step computes does not fit into this machine's memory."""


class WorkerLost(DeviceError):
    """Another worker of a training on several machines died, or cannot be reached."""


class Diverged(FitxError):
    """A logged value, or a variable that a checkpoint was to keep, became NaN or infinite.

    Args:
        found: What is not finite, such as `loss is nan`.
        where: When or on what it was seen, such as `after step 15 (epoch 3)`.
        more: What else there is to say.
        names: The logged values that are not finite, if it was those.
    """

    exit_code = 5

    def __init__(self, found: str, where: str, more: str, names: tuple[str, ...] = ()) -> None:
        super().__init__(f"diverged: {found} {where}. {more}")
        self.found, self.where, self.names = found, where, names


class ExpectationError(FitxError):
    """A value missed what the experiment's `expect:` asks for."""

    exit_code = 6


class StorageError(FitxError):
    """A file could not be written or read, or is damaged."""

    exit_code = 7


class BusyError(FitxError):
    """Another process works in the run folder."""

    exit_code = 8


class Interrupted(FitxError):
    """A signal asked the run to stop; it stopped at a step's end with its state on disk."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


class UserCodeError(FitxError):
    """The user's own code raised; `frames` shows where, without fitx' or Keras' frames."""

    def __init__(self, message: str, frames: str = "") -> None:
        super().__init__(message)
        self.frames = frames
