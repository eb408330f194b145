"""What a run has spent, call by call, and whether it may go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from scholar.errors import BudgetSpent, SettingsError
from scholar.settings import Budget, Price
from scholar.values import Call


class Ledger:
    """The calls of one run against its budget.

    `prices` finds a price by a model's bare name. `calls` are those of an earlier part of the same
    run, and `elapsed` tells the seconds the run has taken.
    """

    def __init__(
        self,
        budget: Budget,
        prices: Callable[[str], Price | None],
        *,
        calls: Iterable[Call] = (),
        elapsed: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._budget = budget
        self._prices = prices
        self._calls = list(calls)
        self._elapsed = elapsed

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every call so far, failed ones too, in the order in which they ended."""
        return tuple(self._calls)

    def add(self, call: Call) -> None:
        """Enter a call that has ended."""
        self._calls.append(call)

    def price(self, model: str, input_tokens: int, output_tokens: int) -> float | None:
        """US dollars for so many tokens of `model`, or None where its price is not known."""
        price = self._prices(model)
        if price is None:
            return None
        return (input_tokens * price.input + output_tokens * price.output) / 1_000_000

    def check(self, model: str | None = None) -> None:
        """Return if the run may call `model`.

        Raises BudgetSpent where a cap is reached, and SettingsError where dollars are capped and
        the price of `model`, or of a model already called, is not known.
        """
        self._check_dollars(model)
        tokens = sum(call.input_tokens + call.output_tokens for call in self._calls)
        if self._budget.tokens is not None and tokens >= self._budget.tokens:
            raise _spent(f"{tokens:,} of {self._budget.tokens:,} tokens", "tokens")
        seconds = self._elapsed()
        if self._budget.seconds is not None and seconds >= self._budget.seconds:
            raise _spent(f"{seconds:.0f} of {self._budget.seconds:g} seconds", "seconds")

    @asynccontextmanager
    async def within_seconds(self) -> AsyncIterator[None]:
        """Cancels what is done inside once the run has used up its seconds: raises BudgetSpent."""
        cap = self._budget.seconds
        timer = asyncio.timeout(None if cap is None else max(0.0, cap - self._elapsed()))
        try:
            async with timer:
                yield
        except TimeoutError:
            if not timer.expired():
                raise
            raise _spent(f"its {cap:g} seconds", "seconds") from None

    def _check_dollars(self, model: str | None) -> None:
        cap = self._budget.dollars
        if cap is None:
            return
        unknown = [call.model for call in self._calls if call.dollars is None]
        if model is not None and self._prices(model) is None:
            unknown.append(model)
        if unknown:
            raise SettingsError(
                f"The price of {unknown[-1]} is unknown, so a cap in dollars cannot be kept; "
                f'add [prices."{unknown[-1]}"] with input and output to scholar.toml, '
                "or cap tokens instead."
            )
        dollars = sum(call.dollars or 0.0 for call in self._calls)
        if dollars >= cap:
            raise _spent(f"${dollars:.4f} of ${cap:.4f}", "dollars")


def _spent(figure: str, cap: str) -> BudgetSpent:
    return BudgetSpent(
        f"The run has used {figure}; raise {cap} under [budget] in scholar.toml, "
        f"or SCHOLAR_BUDGET__{cap.upper()}."
    )
