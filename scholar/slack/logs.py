"""What the bot and Slack's packages say to those who run it, without anything secret."""

from __future__ import annotations

import logging
import re
import sys
from typing import TextIO

_SECRET = re.compile(
    r"(xox[a-z]*|xapp)-[\w-]+|xoxe\.[\w.-]+|wss?://\S+|hooks\.slack\.com/\S+|v0=[0-9a-f]{64}"
)


def without_secrets(text: str) -> str:
    """`text` without tokens, signatures and addresses that let their holder in."""
    return _SECRET.sub("(secret)", text)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        # The whole line, as a secret may also stand in an argument or a traceback.
        return without_secrets(super().format(record))


def logger(stream: TextIO | None = None) -> logging.Logger:
    """The logger for all of it, which writes warnings and worse on standard error."""
    found = logging.getLogger("scholar.slack")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Formatter("scholar: %(asctime)s %(message)s", "%H:%M:%S"))
    found.handlers[:] = [handler]
    found.setLevel(logging.WARNING)
    found.propagate = False
    for name in ("slack_bolt", "slack_sdk", "aiohttp"):  # what they log past the one given
        other = logging.getLogger(name)
        other.handlers[:] = [handler]
        other.setLevel(logging.WARNING)
        other.propagate = False
    return found
