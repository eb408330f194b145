"""Every error a user can meet. Each message is one sentence or two and ends in what to do.

ScholarError                exit code
├── UsageError              2   the command or its arguments are off
│   └── SettingsError           a setting is unknown or unusable
├── SourceError             5   a file or service could not be read
├── ToolError               5   an action of a plan failed or is not allowed
├── LibraryError            5   the library itself cannot be used
├── RunError                5   a run is not known, is under way elsewhere, or cannot be kept
│   ├── RunTaken                another process works on it
│   └── ReplayDiffers           a run played again does not go as it went
├── ReportError             5   a file could not be written
├── ModelError              4   a model gave no usable reply
│   ├── ModelUnavailable        nothing answered, or it broke off: worth another try
│   ├── ModelRejected           the server refuses the request itself (key, name, length)
│   ├── ModelRefused            the model or its filter declined to answer
│   └── ReplyInvalid            the reply never fitted its schema
└── BudgetSpent             6   the run has used what it was allowed
"""

from __future__ import annotations

from typing import ClassVar


class ScholarError(Exception):
    """Base of all errors that `scholar` raises on purpose; its text is fit to be shown."""

    exit_code: ClassVar[int] = 1


def error_named(name: str, text: str) -> ScholarError:
    """The error that was kept as the name of its class and its sentence."""
    kind: type[ScholarError] = globals().get(name, ScholarError)
    return kind(text)


class UsageError(ScholarError):
    """The command, its arguments or its input cannot be used as given."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting is unknown, malformed or contradicts another."""


class SourceError(ScholarError):
    """A paper's file or a bibliographic service could not be read."""

    exit_code = 5


class ToolError(ScholarError):
    """A tool that a plan called has failed, or may not do what it was asked."""

    exit_code = 5


class LibraryError(ScholarError):
    """The literature store cannot be opened or written."""

    exit_code = 5


class ReportError(ScholarError):
    """A report could not be written to its file."""

    exit_code = 5


class RunError(ScholarError):
    """A run is not known, is worked on elsewhere, or cannot be kept or read."""

    exit_code = 5


class RunTaken(RunError):
    """Another process works on the run: worth another try once that has ended."""


class ReplayDiffers(RunError):
    """A run played again asked for something it had not asked for; `node` is where."""

    def __init__(self, message: str, node: str = "") -> None:
        super().__init__(message)
        self.node = node


class ModelError(ScholarError):
    """A model gave no usable reply."""

    exit_code = 4


class ModelUnavailable(ModelError):
    """The server could not be reached, was overloaded, or broke off in mid-reply.

    `retry_after` is the number of seconds the server asked to be left alone, where it said so.
    `reached` is false where there was no connection, so that nothing was sent.
    """

    def __init__(
        self, message: str, *, retry_after: float | None = None, reached: bool = True
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.reached = reached


class ModelRejected(ModelError):
    """The server refuses this request for good: wrong key, unknown model, prompt too long."""


class ModelRefused(ModelError):
    """The model, or a content filter before it, declined to answer."""


class ReplyInvalid(ModelError):
    """The reply did not fit its schema, also after the model was shown its mistakes."""


class BudgetSpent(ScholarError):
    """The run has used up what it was allowed, or what is left of it allows no further call."""

    exit_code = 6
