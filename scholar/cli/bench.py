"""`scholar models bench`."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import aclosing, nullcontext
from dataclasses import asdict, dataclass, field
from itertools import groupby

import typer
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from scholar import report, settings
from scholar.backends import split_model_id
from scholar.backends.bench import Estimate, Speed, bench, estimate
from scholar.backends.chain import public_id
from scholar.backends.ledger import Ledger
from scholar.cli.common import CANCELLED, complain, err, notice, out, print_json
from scholar.cli.models import NONE, configured
from scholar.errors import BudgetSpent, ModelError, SettingsError, UsageError
from scholar.settings import Settings
from scholar.values import Usage

DECLINED = 1
"""The exit code where a person would rather not spend the money."""

_HEAD = ("at once", "first token", "each reply", "together")


@dataclass(slots=True)
class _Bench:
    """A run over several models, and what it has found so far."""

    known: Settings
    ledger: Ledger
    levels: Sequence[int]
    tokens: int
    speeds: list[Speed] = field(default_factory=list)

    async def measure(self, model_ids: Iterable[str]) -> int:
        """Measure one model after the other; returns the exit code."""
        try:
            for model_id in model_ids:
                await self._measure(model_id)
        except BudgetSpent as error:
            complain(str(error))
            return error.exit_code
        except asyncio.CancelledError:
            # Ctrl-C: what was measured is shown, and the exit code says that it was cut short.
            complain("Cancelled; run the command again for the rest.")
            return CANCELLED
        return ModelError.exit_code if any(speed.error for speed in self.speeds) else 0

    async def _measure(self, model_id: str) -> None:
        shown, booked = public_id(model_id), len(self.ledger.calls)
        waking = Text(report.plain(f"{shown}, waking it"), style="dim")
        with err.status(waking) if err.is_terminal else nullcontext() as status:

            def on_level(level: int) -> None:
                if status:
                    status.update(Text(report.plain(f"{shown}, {level} at once"), style="dim"))

            speeds = bench(
                model_id,
                self.known,
                self.ledger,
                levels=self.levels,
                tokens=self.tokens,
                on_level=on_level,
                on_notice=notice,
            )
            try:
                async with aclosing(speeds):
                    async for speed in speeds:
                        self.speeds.append(speed)
                        booked = len(self.ledger.calls)
            except (ModelError, SettingsError) as error:
                spent = Usage.of(self.ledger.calls[booked:], 0.0)
                self.speeds.append(_failed(shown, str(error), spent))


async def bench_models(
    model_ids: Sequence[str], concurrent: str, tokens: int, yes: bool, json: bool
) -> int:
    """Measure the models, or all that are configured, and print how fast they are.

    The exit code is that of a failed model where one failed, of a spent budget where it was.
    """
    levels = _levels(concurrent)
    known = settings.load()
    chosen = tuple(dict.fromkeys(model_ids)) or configured(known)
    if not chosen:
        raise SettingsError(NONE)
    for model_id in chosen:
        split_model_id(model_id)
    if not yes and not _agreed(estimate(chosen, known, levels, tokens)):
        return DECLINED
    began = time.monotonic()
    ledger = Ledger(known.budget, known.price_of, elapsed=lambda: time.monotonic() - began)
    run = _Bench(known, ledger, levels, tokens)
    code = await run.measure(chosen)
    if json:
        print_json([asdict(speed) for speed in run.speeds])
    else:
        for part in _report(run.speeds):
            out.print(part, soft_wrap=isinstance(part, Text))
        err.print(Text(_cost(ledger.usage), style="dim"))
    return code


def _levels(concurrent: str) -> tuple[int, ...]:
    parts = [part.strip() for part in concurrent.split(",")]
    if not all(part.isdecimal() and int(part) for part in parts):
        raise UsageError(
            f"'{concurrent}' names no numbers of requests; write them as in --concurrent 1,4,16."
        )
    return tuple(sorted({int(part) for part in parts}))


def _agreed(cost: Estimate) -> bool:
    """Whether to go on: nothing costs money, or a person who was asked says so."""
    if not cost.models:
        return True
    dollars = "price unknown" if cost.dollars is None else f"${cost.dollars:.4f}"
    takes = (
        f"Measuring {', '.join(cost.models)} takes {cost.requests} requests and at most "
        f"{cost.tokens:,} tokens ({dollars}), retries apart"
    )
    if not (sys.stdin.isatty() and err.is_terminal):
        raise UsageError(f"{takes}; add --yes to agree to that.")
    err.print(report.plain(f"{takes}."))
    return typer.confirm("Go ahead?", err=True)


def _failed(model: str, error: str, spent: Usage) -> Speed:
    return Speed(
        model,
        requests=spent.calls,
        input_tokens=spent.input_tokens,
        output_tokens=spent.output_tokens,
        dollars=spent.dollars,
        gpu_seconds=spent.gpu_seconds,
        error=error,
    )


def _report(speeds: Iterable[Speed]) -> Iterator[RenderableType]:
    """For each model its table, and below it what held requests back and what failed."""
    for model, rows in groupby(speeds, key=lambda speed: speed.model):
        measured = Table.grid(*[Column(justify="right") for _ in _HEAD], padding=(0, 2))
        measured.add_row(*_HEAD, style="dim")
        notes: list[Text] = []
        for speed in rows:
            if speed.concurrent:
                measured.add_row(*_cells(speed))
            notes += _notes(speed)
        yield Text(report.plain(model), style="bold")
        if measured.row_count > 1:
            yield Padding(measured, (0, 0, 0, 2), expand=False)
        yield from notes


def _cells(speed: Speed) -> Iterator[str]:
    about = "~" if speed.estimated else ""
    first = speed.first_token_seconds
    yield str(speed.concurrent)
    yield "none" if first is None else f"{first:.2f} s"
    for rate in (speed.tokens_per_second, speed.total_tokens_per_second):
        yield "none" if rate is None else f"{about}{rate:,.1f} tokens/s"


def _notes(speed: Speed) -> Iterator[Text]:
    if speed.limited_by:
        held = f"  {speed.concurrent} at once, {speed.at_once} at a time: {speed.limited_by}"
        yield Text(held, style="dim")
    if speed.error:
        some = f"{speed.failed} of {speed.concurrent} at once failed: " if speed.concurrent else ""
        yield Text.assemble(("  !! ", "red"), report.plain(some + speed.error))


def _cost(usage: Usage) -> str:
    gpu = f", {usage.gpu_seconds:.1f} GPU-seconds" if usage.gpu_seconds else ""
    return report.cost(usage) + gpu
