"""`scholar models`: who plays which role, and what each model can do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, get_args

from rich.text import Text

from scholar import report, settings
from scholar.backends import split_model_id
from scholar.backends.chain import public_id
from scholar.backends.facts import Facts
from scholar.backends.gateway import Gateway
from scholar.backends.ledger import Ledger
from scholar.backends.probe import Found, probe
from scholar.cli.common import err, notice, out, print_json
from scholar.errors import BudgetSpent, ModelError, SettingsError
from scholar.settings import Role, Settings

NONE = "No model is set; set SCHOLAR_MODEL to one such as openai:gpt-5-mini, and try again."


async def list_models(json: bool) -> int:
    """Print each role's chain, with prices, limits and measurements. Calls no model."""
    known = settings.load()
    gateway = Gateway(known, on_notice=notice)
    try:
        rows = list(_rows(known, gateway))
    finally:
        await gateway.aclose()
    if json:
        print_json(rows)
    elif not rows:
        err.print(NONE)
    else:
        for line in _lines(rows):
            out.print(line, soft_wrap=True)
    return 0


async def check_models(json: bool) -> int:
    """Ask every model of every chain once; the exit code is that of a model that failed."""
    known = settings.load()
    ids = configured(known)
    if not ids:
        raise SettingsError(NONE)
    gateway = Gateway(known, on_notice=notice)
    try:
        found = [await _found(gateway, known, id) for id in ids]
    finally:
        await gateway.aclose()
    if json:
        print_json([asdict(one) for one in found])
    else:
        for one in found:
            out.print(_described(one), soft_wrap=True)
    return 0 if all(one.answers for one in found) else ModelError.exit_code


def configured(known: Settings) -> tuple[str, ...]:
    """The ids of all models that play a role, each once."""
    return tuple(dict.fromkeys(id for role in get_args(Role) for id in known.chain_for(role)))


async def _found(gateway: Gateway, known: Settings, model_id: str) -> Found:
    shown = public_id(model_id)
    try:
        return await probe(gateway, model_id, shown, Ledger(known.budget, known.price_of))
    except (SettingsError, BudgetSpent) as error:
        return Found(shown, answers=False, error=str(error))


def _described(found: Found) -> Text:
    if not found.answers:
        return Text.assemble(("!! ", "red"), report.plain(f"{found.model}: {found.error}"))
    can = [
        "holds replies to a schema" if found.json_schema else "takes the schema in the prompt",
        "reports tokens" if found.usage else "reports no tokens, so they are estimated",
        "takes a seed" if found.seed else "takes no seed",
    ]
    how = f" by {found.dialect}" if found.dialect else ""
    words = f"{found.model} answers in {found.seconds:.1f} s{how}; {', '.join(can)}"
    return Text.assemble(("ok ", "green"), report.plain(words))


def _rows(known: Settings, gateway: Gateway) -> Iterator[dict[str, Any]]:
    for role in get_args(Role):
        for place, model_id in enumerate(known.chain_for(role), start=1):
            name = split_model_id(model_id)[0]
            price = known.price_of(name)
            yield {
                "role": role,
                "place": place,
                "model": public_id(model_id),
                "price": price.model_dump() if price else None,
                "limits": known.limit_of(name).model_dump(),
                **_known(gateway.facts(model_id)),
            }


def _known(facts: Facts) -> dict[str, Any]:
    pace = facts.pace
    seen = bool(pace.calls)
    return {
        "calls": pace.calls,
        "first_token_seconds": round(pace.first, 3) if seen else None,
        "tokens_per_second": round(pace.rate, 1) if seen else None,
        "json_schema": facts.json_schema,
        "responses": facts.responses,
        "usage": facts.usage,
        "seed": facts.seed,
        "refused": sorted(facts.refused),
        "checked": facts.checked,
    }


def _lines(rows: list[dict[str, Any]]) -> Iterator[Text]:
    """Each chain under the roles that it plays, two lines to a model."""
    chains: dict[tuple[str, ...], list[str]] = {}
    for role in dict.fromkeys(row["role"] for row in rows):
        chain = tuple(row["model"] for row in rows if row["role"] == role)
        chains.setdefault(chain, []).append(role)
    known = {row["model"]: row for row in rows}
    for chain, roles in chains.items():
        yield Text(", ".join(roles), style="bold")
        for place, model in enumerate(chain, start=1):
            yield Text(f"{place:3d}  {report.plain(model)}")
            yield Text(f"     {_details(known[model])}", style="dim")


def _details(row: dict[str, Any]) -> str:
    price = row["price"]
    known = f"${price['input']:g} in, ${price['output']:g} out per million tokens" if price else ""
    parts = [known or "price unknown", _speed(row)]
    if row["checked"]:
        parts.append(f"checked {time.strftime('%Y-%m-%d', time.localtime(row['checked']))}")
    return " · ".join(parts)


def _speed(row: dict[str, Any]) -> str:
    if not row["calls"]:
        return "not measured yet"
    first, rate = row["first_token_seconds"], row["tokens_per_second"]
    return f"{first:.1f} s to first token, {rate:.0f} tokens/s"
