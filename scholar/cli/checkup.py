"""`scholar doctor`: what is there, what answers, and what to do about the rest."""

from __future__ import annotations

import platform
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import get_args

from pydantic import BaseModel
from rich.table import Table
from rich.text import Text

import scholar
from scholar import prompts, report, settings
from scholar.backends.chain import public_id
from scholar.backends.gateway import Gateway
from scholar.backends.ledger import Ledger
from scholar.cli.common import out, print_json
from scholar.errors import ScholarError
from scholar.library import Library, embedding
from scholar.settings import Role, Settings

PACKAGES = ("langgraph", "openai", "chromadb", "transformers", "torch", "tantivy", "pypdfium2")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the check-up; `fix` is the command or setting that mends it."""

    what: str
    ok: bool
    detail: str
    fix: str = ""


class _Hello(BaseModel):
    ok: bool


async def doctor(json: bool) -> int:
    """Print all findings; the exit code is 1 where something is broken."""
    known = settings.load()
    findings = [finding async for finding in _examine(known)]
    if json:
        print_json([asdict(finding) for finding in findings])
    else:
        table = Table.grid(padding=(0, 1))
        for _ in range(3):
            table.add_column(overflow="fold")  # a command that is cut short cannot be copied
        for finding in findings:
            mark = Text("ok", style="green") if finding.ok else Text("!!", style="red")
            detail = Text(report.plain(finding.detail))
            if finding.fix:
                detail.append(f"\n→ {finding.fix}", style="bold")
            table.add_row(mark, Text(finding.what), detail)
        out.print(table)
    return 0 if all(finding.ok for finding in findings) else 1


async def _examine(known: Settings) -> AsyncIterator[Finding]:
    yield Finding("scholar", True, f"{scholar.__version__}, Python {platform.python_version()}")
    yield Finding("packages", True, ", ".join(map(_version, PACKAGES)))
    yield _settings(known)
    yield await _library(known)
    yield _embedder(known)
    async for finding in _models(known):
        yield finding


def _settings(known: Settings) -> Finding:
    files = ", ".join(map(str, settings.config_files())) or "none; defaults and environment"
    try:
        known.preset_named(None)
    except ScholarError as error:
        return Finding("settings", False, f"{files}. {error}", "export SCHOLAR_PRESET=standard")
    return Finding("settings", True, files)


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} not installed"


async def _library(known: Settings) -> Finding:
    notices: list[str] = []
    try:
        library = Library(known, on_notice=notices.append)
    except ScholarError as error:
        return Finding("library", False, str(error), "export SCHOLAR_HOME=~/scholar")
    try:
        stats = await library.stats()
        await library.warm()
    except ScholarError as error:
        return Finding("library", False, str(error), "scholar library rebuild")
    finally:
        library.close()
    size = f"{stats.papers} papers, {stats.passages} passages in {stats.folder}"
    by = "BM25 alone" if stats.embedder == "none" else f"BM25 and {stats.embedder}"
    if not stats.papers:
        return Finding("library", True, size, "scholar add SOURCE…")
    if notices:
        return Finding("library", False, f"{size}. {notices[0]}", "scholar library rebuild")
    return Finding("library", True, f"{size}, searched by {by}")


def _embedder(known: Settings) -> Finding:
    try:
        choice = embedding.choose(known.embedder, offline=known.offline, fetch=False)
    except ScholarError as error:
        return Finding("embedder", False, str(error), "export SCHOLAR_EMBEDDER=auto")
    if choice.load is None and known.embedder != "none":
        fix = f"{embedding.TURN_ON} && scholar library rebuild"
        return Finding("embedder", True, "none at hand: searching by BM25 alone", fix)
    return Finding("embedder", True, choice.how)


async def _models(known: Settings) -> AsyncIterator[Finding]:
    roles: dict[str, list[Role]] = {}
    for role in get_args(Role):
        for model in known.chain_for(role):
            roles.setdefault(model, []).append(role)
    if not known.has_models():
        missing = [role for role in get_args(Role) if not known.model_for(role)]
        detail = f"no model for {', '.join(missing)}: scholar ask shows quotes only"
        yield Finding("models", True, detail, "export SCHOLAR_MODEL=openai:gpt-5-mini")
    gateway = Gateway(known)
    try:
        for model, played in roles.items():
            yield await _model(gateway, known, model, played)
    finally:
        await gateway.aclose()


async def _model(gateway: Gateway, known: Settings, model: str, roles: list[Role]) -> Finding:
    what, shown = f"model for {', '.join(roles)}", public_id(model)
    ledger = Ledger(known.budget, known.price_of)
    prompt = replace(prompts.render("hello"), role=roles[0])
    try:
        await gateway.ask(prompt, _Hello, ledger=ledger, model=model, fresh=True)
    except ScholarError as error:
        return Finding(what, False, f"{shown}: {error}")
    return Finding(what, True, f"{shown} answers in {ledger.calls[-1].seconds:.1f} s")
