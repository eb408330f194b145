"""`scholar library enrich`."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from typing import Any

from scholar import report, settings
from scholar.agents.enricher import KINDS, Enriched, enrich
from scholar.backends.gateway import Gateway
from scholar.backends.ledger import Ledger
from scholar.cli.common import (
    CANCELLED,
    complain,
    counting,
    err,
    library_of,
    notice,
    out,
    print_json,
)
from scholar.errors import BudgetSpent, ModelError, SettingsError, UsageError
from scholar.library import Kind, Library
from scholar.values import Usage

_NAMES: dict[Kind, str] = {"facts": "facts", "questions": "questions", "card": "cards"}
GO_ON = "What was found is kept; to go on: scholar library enrich."


def _kinds_of(names: Sequence[str]) -> list[Kind]:
    """The kinds that `names` say; UsageError where one is none."""
    known = {name: kind for kind, name in _NAMES.items()}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"'{unknown[0]}' cannot be drawn; use facts, questions or cards.")
    return [known[name] for name in dict.fromkeys(names)]


@dataclass
class _Sum:
    """What all calls brought together."""

    kept: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    dropped: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, result: Enriched) -> None:
        """Count one call."""
        self.kept[result.kind] += result.kept
        self.done[result.kind] += result.done
        self.dropped += result.dropped
        if result.problem:
            self.problems.append(result.problem)


async def run(names: Sequence[str], flags: dict[str, Any], json: bool) -> int:
    """Extract what is lacking under a progress bar, and say what came of it and what it cost.

    `names` are of kinds, none for all; UsageError where one is none.
    """
    kinds = _kinds_of(names) or KINDS
    known = settings.load(**flags)
    gateway = Gateway(known, on_notice=notice)
    began = time.monotonic()
    ledger = Ledger(known.budget, known.price_of, elapsed=lambda: time.monotonic() - began)
    told = _Sum()
    try:
        if not gateway.has_models():
            raise SettingsError(
                "Enriching needs a model; set SCHOLAR_MODEL to one such as openai:gpt-5-mini."
            )
        async with library_of(known) as library:
            code = await _work(library, gateway, ledger, kinds, told)
    finally:
        await gateway.aclose()
    _show(told, kinds, ledger.usage, json)
    return code


async def _work(
    library: Library, gateway: Gateway, ledger: Ledger, kinds: Sequence[Kind], told: _Sum
) -> int:
    try:
        with counting() as bar:
            for kind in kinds:
                total = (await library.lacking())[kind]
                task = bar.add_task(_NAMES[kind], total=total)
                async with aclosing(enrich(library, gateway, ledger, [kind])) as results:
                    async for result in results:
                        told.add(result)
                        bar.update(task, advance=result.done)
    except (ModelError, BudgetSpent) as error:
        complain(f"{error} {GO_ON}")
        return error.exit_code
    except asyncio.CancelledError:
        complain(f"Cancelled. {GO_ON}")
        return CANCELLED
    return ModelError.exit_code if told.problems and not any(told.done.values()) else 0


def _show(told: _Sum, kinds: Sequence[Kind], usage: Usage, json: bool) -> None:
    if json:
        counts = {_NAMES[kind]: told.kept[kind] for kind in kinds}
        more = {"dropped": told.dropped, "problems": told.problems, "usage": asdict(usage)}
        print_json(counts | more)
        return
    if not any(told.done.values()) and not told.problems:
        out.print("Nothing is lacking.")
        return
    for kind in kinds:
        of = "papers" if kind == "card" else "passages"
        out.print(f"{told.kept[kind]:,} {_NAMES[kind]} of {told.done[kind]:,} {of}")
    if told.dropped:
        out.print(f"{told.dropped:,} malformed or not in the text, dropped")
    for problem in dict.fromkeys(told.problems):
        err.print(report.plain(f"Left out for now: {problem}"))
    out.print(report.cost(usage), style="dim")
