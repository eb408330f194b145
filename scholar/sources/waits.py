"""How long a service asks to be left alone, and how to say it."""

from __future__ import annotations

import math
import time
from email.utils import mktime_tz, parsedate_tz

from scholar.sources.kept import DAY, HOUR


def retry_after(text: str) -> float:
    """The seconds that a Retry-After asks for; 0 where it says nothing that can be understood."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = _until(text)
    return 0.0 if math.isnan(seconds) else max(0.0, seconds)


def _until(date: str) -> float:
    try:
        parsed = parsedate_tz(date)
        return 0.0 if parsed is None else mktime_tz(parsed) - time.time()
    except (ValueError, OverflowError):
        return 0.0


def spoken(seconds: float) -> str:
    """`seconds` in words, rounded up."""
    if seconds > 100 * DAY:
        return "more than 100 days"
    for unit, size in (("days", DAY), ("hours", HOUR), ("minutes", 60.0)):
        if seconds >= 1.5 * size:
            return f"{math.ceil(seconds / size)} {unit}"
    return f"{max(1, math.ceil(seconds))} s"
