"""How fast a model is, as measured, and how long it may therefore be silent.

Until a model has been measured it may be silent for the setting `silence`. From then on it may take
a multiple of what a request of this size would take, so that neither a slow model on a laptop is
cut off nor a dead one waited for.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

MULTIPLE = 5.0
"""Between calls of one size to one server, a factor of two is common and three is seen."""
MEASURED = 3
"""Calls after which a measurement is relied on."""
AWAKE = 240.0
"""Seconds after its last call in which a server surely still has the model in memory; servers on a
laptop put it away after five minutes, and loading it again takes as long as it takes."""
FIRST_FLOOR = 20.0
GAP_FLOOR = 15.0
"""Seconds that are never too long, however fast the model: networks and servers have their hiccups,
and a single lost packet can cost a few seconds."""
GAP_TOKENS = 50
"""Tokens that a server may hold back and send in one piece."""
_NEWEST = 0.3
"""Weight of the newest call in the running means."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Running means over `calls`: seconds to the first sign of a reply to `input` tokens, and
    output tokens per second from there. `at` is the time of the last call, in seconds since 1970.
    """

    calls: int = 0
    first: float = 0.0
    input: float = 0.0
    rate: float = 0.0
    at: float = 0.0

    @property
    def measured(self) -> bool:
        """Whether enough calls have been seen to rely on."""
        return self.calls >= MEASURED and self.rate > 0

    def after(self, first: float, seconds: float, tokens_in: int, tokens_out: int) -> Pace:
        """The pace with one more whole reply: its first sign after `first` of `seconds`."""
        rate = tokens_out / max(seconds - first, 1e-3)
        weight = max(_NEWEST, 1 / (self.calls + 1))

        def mean(old: float, new: float) -> float:
            return old + weight * (new - old)

        return replace(
            self,
            calls=self.calls + 1,
            first=mean(self.first, first),
            input=mean(self.input, tokens_in),
            rate=mean(self.rate, rate) if tokens_out else self.rate,
            at=time.time(),
        )

    def seconds(self, tokens_in: int, tokens_out: int) -> tuple[float, float]:
        """What the first sign and then the rest of such a reply would take."""
        longer = max(1.0, tokens_in / self.input) if self.input else 1.0
        return self.first * longer, tokens_out / self.rate


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that a model may be silent before the first text and between two pieces of it.

    `measured` says that they come from its pace and not from the settings.
    """

    first: float
    gap: float
    measured: bool


def patience(
    pace: Pace, silence: float, tokens_in: int, max_tokens: int, beside: int = 0
) -> Patience:
    """How long to wait for a reply, given the `silence` of the settings.

    `beside` is the number of other requests under way: a server may take them in turn. Before the
    first text the model may think, so all of `max_tokens` may pass unseen.
    """
    if not pace.measured:
        return Patience(silence, silence, measured=False)
    first, rest = pace.seconds(tokens_in, max_tokens)
    before = max(MULTIPLE * (first + rest) * (1 + beside), min(FIRST_FLOOR, silence))
    if time.time() - pace.at > AWAKE:
        before = max(before, silence)
    gap = max(MULTIPLE * GAP_TOKENS / pace.rate * (1 + beside), min(GAP_FLOOR, silence))
    return Patience(before, gap, measured=True)
