"""What a run has spent, call by call, and what it may still send.

No call is sent that could break a cap: before it, the most that it may cost is set aside; after
it, what it did cost is entered. Calls that do not fit beside those under way wait for them.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from scholar.errors import BudgetSpent, SettingsError
from scholar.journal.record import Record
from scholar.settings import Budget, Price
from scholar.values import Call, Usage

LEAST_REPLY = 256
"""Tokens of the shortest reply worth asking for as a budget nears its end: a juror's verdict."""


@dataclass(frozen=True, eq=False, slots=True)
class Reservation:
    """What is set aside for one call: its prompt, and `output` tokens, its new `max_tokens`.

    `shortened` says that this is less than was asked for, as the budget allows no more.
    """

    input: int
    output: int
    dollars: float = 0.0
    shortened: bool = False

    @property
    def tokens(self) -> int:
        """Tokens of prompt and reply together."""
        return self.input + self.output


class Ledger:
    """The calls of one run against its budget.

    `prices` finds a price by a model's bare name. `record` is where the run's calls are kept, those
    of an earlier part of it among them; without one they are kept here, after `calls`. `elapsed`
    tells the seconds the run has taken, where the record is not to say so. `most_tokens` is a cap
    of the run's own beside that of the budget; the smaller one holds.
    """

    def __init__(
        self,
        budget: Budget,
        prices: Callable[[str], Price | None],
        *,
        record: Record | None = None,
        calls: Iterable[Call] = (),
        elapsed: Callable[[], float] | None = None,
        most_tokens: int | None = None,
    ) -> None:
        self._own_cap = most_tokens is not None and (
            budget.tokens is None or most_tokens < budget.tokens
        )
        self._budget = budget
        if self._own_cap:
            self._budget = budget.model_copy(update={"tokens": most_tokens})
        self._prices = prices
        self.record = record or Record("", lambda: 0.0, calls=dict(enumerate(calls)))
        self._elapsed = elapsed or (lambda: self.record.seconds)
        self._reserved: set[Reservation] = set()
        self._released = asyncio.Event()

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every call so far, failed ones too, in the order in which they were sent; those under
        way are not among them.
        """
        return self.record.calls

    @property
    def usage(self) -> Usage:
        """The sum of all calls, with the seconds of the whole run."""
        return Usage.of(self.calls, self._elapsed())

    def add(self, call: Call) -> None:
        """Enter a call that has ended."""
        self.record.add(call)

    def price(self, model: str, input_tokens: int, output_tokens: int) -> float | None:
        """US dollars for so many tokens of `model`, or None where its price is not known."""
        if not (input_tokens or output_tokens):
            return 0.0
        price = self._prices(model)
        return None if price is None else _cost(price, input_tokens, output_tokens)

    def check(self, model: str | None = None) -> None:
        """Return if the run may call `model`.

        Raises BudgetSpent where a cap is reached, and SettingsError where dollars are capped and
        the price of `model`, or of a model already called, is not known.
        """
        self._check_prices(model)
        budget = self._budget
        if budget.dollars is not None and self._spent_dollars >= budget.dollars:
            raise _spent(self._dollars(), "dollars")
        if budget.tokens is not None and self._spent_tokens >= budget.tokens:
            raise self._spent_on_tokens(self._tokens())
        if budget.seconds is not None and self._elapsed() >= budget.seconds:
            raise _spent(f"{self._elapsed():.0f} of {budget.seconds:g} seconds", "seconds")
        gpu = sum(call.gpu_seconds for call in self.calls)
        if budget.gpu_seconds is not None and gpu >= budget.gpu_seconds:
            raise _spent(f"{gpu:.0f} of {budget.gpu_seconds:g} GPU-seconds", "gpu_seconds")

    async def reserve(self, model: str, input_tokens: int, max_tokens: int) -> Reservation:
        """Set aside what a call of `model` may cost at most; give it back to `release`.

        Where it does not fit, waits for calls under way; with none, allows a shorter reply. Raises
        what `check` raises, and BudgetSpent where not even LEAST_REPLY tokens fit.
        """
        while True:
            self.check(model)
            room = self._room(model, input_tokens)
            if room >= max_tokens:
                return self._set_aside(model, input_tokens, max_tokens, shortened=False)
            if self._reserved:
                self._released.clear()
                await self._released.wait()
            elif room >= min(LEAST_REPLY, max_tokens):
                return self._set_aside(model, input_tokens, int(room), shortened=True)
            else:
                raise self._no_room(model, input_tokens)

    def release(self, reservation: Reservation) -> None:
        """Give back what was set aside, once what the call did cost has been added."""
        self._reserved.discard(reservation)
        self._released.set()

    @asynccontextmanager
    async def in_time(self) -> AsyncIterator[None]:
        """Cut short with BudgetSpent what is still under way when the run's seconds are over."""
        cap = self._budget.seconds
        if cap is None:
            yield
            return
        try:
            async with asyncio.timeout(max(0.0, cap - self._elapsed())) as alarm:
                yield
        except TimeoutError:
            if not alarm.expired():
                raise
            raise _spent(f"its {cap:g} seconds", "seconds") from None

    def _room(self, model: str, input_tokens: int) -> float:
        """The longest reply, in tokens, that no cap forbids beside the calls under way."""
        return min(self._left_of_tokens(input_tokens), self._left_of_dollars(model, input_tokens))

    def _left_of_tokens(self, input_tokens: int) -> float:
        if self._budget.tokens is None:
            return math.inf
        reserved = sum(held.tokens for held in self._reserved)
        return self._budget.tokens - self._spent_tokens - reserved - input_tokens

    def _left_of_dollars(self, model: str, input_tokens: int) -> float:
        price = self._prices(model)
        if self._budget.dollars is None or price is None:
            return math.inf
        reserved = sum(held.dollars for held in self._reserved)
        left = self._budget.dollars - self._spent_dollars - reserved - _cost(price, input_tokens, 0)
        if left < 0:
            return -1
        return left * 1_000_000 / price.output if price.output else math.inf

    def _set_aside(
        self, model: str, input_tokens: int, output: int, *, shortened: bool
    ) -> Reservation:
        dollars = self.price(model, input_tokens, output) or 0.0
        held = Reservation(input_tokens, output, dollars, shortened)
        self._reserved.add(held)
        return held

    def _no_room(self, model: str, input_tokens: int) -> BudgetSpent:
        needed = f"the next call, with a prompt of about {input_tokens:,} tokens, could take more"
        if self._left_of_dollars(model, input_tokens) < self._left_of_tokens(input_tokens):
            return _spent(f"{self._dollars()} and {needed}", "dollars")
        return self._spent_on_tokens(f"{self._tokens()} and {needed}")

    def _spent_on_tokens(self, figure: str) -> BudgetSpent:
        if not self._own_cap:
            return _spent(figure, "tokens")
        return BudgetSpent(
            f"The run has used {figure}, all that its preset allows; "
            "ask a part of the question, or take a preset without a cap: scholar presets."
        )

    def _check_prices(self, model: str | None) -> None:
        if self._budget.dollars is None:
            return
        unknown = [call.model for call in self.calls if call.dollars is None]
        if model is not None and self._prices(model) is None:
            unknown.append(model)
        if unknown:
            raise SettingsError(
                f"The price of {unknown[-1]} is unknown, so a cap in dollars cannot be kept; "
                f'add [prices."{unknown[-1]}"] with input and output to scholar.toml, '
                "or cap tokens instead."
            )

    @property
    def _spent_tokens(self) -> int:
        return sum(call.input_tokens + call.output_tokens for call in self.calls)

    @property
    def _spent_dollars(self) -> float:
        return math.fsum(call.dollars or 0.0 for call in self.calls)

    def _dollars(self) -> str:
        return f"${self._spent_dollars:.4f} of ${self._budget.dollars:.4f}"

    def _tokens(self) -> str:
        return f"{self._spent_tokens:,} of {self._budget.tokens:,} tokens"


def _cost(price: Price, input_tokens: int, output_tokens: int) -> float:
    return (input_tokens * price.input + output_tokens * price.output) / 1_000_000


def _spent(figure: str, cap: str) -> BudgetSpent:
    return BudgetSpent(
        f"The run has used {figure}; raise {cap} under [budget] in scholar.toml, "
        f"or SCHOLAR_BUDGET__{cap.upper()}."
    )
