"""The errors of fitx, one class per exit code.

FitxError              an error that the user can act on; printed without a traceback
├── ConfigError     2  one or many problems of one experiment (fitx.experiment.problems)
├── UsageError      2  invalid words on the command line
├── DataError       3  invalid data
├── DeviceError     4  a device, a package or memory that this machine lacks
├── Diverged        5  a logged value or a weight is NaN or infinite
├── ExpectationError 6 a value does not meet `expect:`
├── StorageError    7  disk full, unreadable or damaged files
├── BusyError       8  another process uses the run folder
├── Interrupted  129, 130, 143  a signal asked the run to stop
└── UserCodeError   1  the user's own code raised; carries the user's own frames
"""


class FitxError(Exception):
    """An error that the user can act on; only its text is printed.

    `run` is the run folder, if there was one when the error occurred.
    """

    exit_code = 1
    run: str | None = None


class UsageError(FitxError):
    """Invalid words on the command line."""

    exit_code = 2


class DataError(FitxError):
    """Invalid data, with its place and what is expected."""

    exit_code = 3


class DeviceError(FitxError):
    """A device, driver or package that the experiment needs is missing on this machine."""

    exit_code = 4


class OutOfMemory(DeviceError):
    """Data, networks or intermediate results do not fit into this machine's memory."""


class WorkerLost(DeviceError):
    """Another worker died or cannot be reached."""


class Diverged(FitxError):
    """A logged value, or a variable that a checkpoint was to keep, became NaN or infinite.

    Args:
        message: The non-finite value, such as `loss is nan`.
        place: The place, such as `after step 15 (epoch 3)`.
        details: Further sentences.
        names: The names of non-finite logged values, if any.
    """

    exit_code = 5

    def __init__(self, message: str, place: str, details: str, names: tuple[str, ...] = ()) -> None:
        super().__init__(f"diverged: {message} {place}. {details}")
        self.message, self.place, self.names = message, place, names


class ExpectationError(FitxError):
    """A value does not meet the experiment's `expect:`."""

    exit_code = 6


class StorageError(FitxError):
    """A file could not be written or read, or is damaged."""

    exit_code = 7


class BusyError(FitxError):
    """Another process uses the run folder."""

    exit_code = 8


class Interrupted(FitxError):
    """A signal stopped the run at the end of a step, with its state on disk."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


class UserCodeError(FitxError):
    """The user's own code raised an error; `frames` holds only the frames of that code."""

    def __init__(self, message: str, frames: str = "") -> None:
        super().__init__(message)
        self.frames = frames
