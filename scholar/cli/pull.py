"""`scholar models pull`."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.text import Text

from scholar import report, settings
from scholar.backends import split_model_id
from scholar.backends.chain import public_id
from scholar.backends.pull import Pulled, Watch, in_bytes, pull, repositories
from scholar.cli.common import err, out
from scholar.cli.models import NONE, configured
from scholar.errors import ModelError, SettingsError
from scholar.library import embedding
from scholar.settings import Settings

MINILM = f"local:sentence-transformers/{embedding.MINILM}"
OLLAMA_PORT = 11434


async def pull_models(model_ids: Sequence[str]) -> int:
    """Fetch the weights of these models, or of all that are set, the embedder's among them.

    The exit code is that of a model that could not be had.
    """
    known = settings.load()
    chosen = tuple(dict.fromkeys(model_ids)) or (*configured(known), *_embedder(known))
    if not chosen:
        raise SettingsError(NONE)
    split = {model_id: split_model_id(model_id) for model_id in chosen}
    return max([await _pulled(model_id, *split[model_id], known) for model_id in chosen])


def _embedder(known: Settings) -> tuple[str, ...]:
    """The model that searches by meaning, where it is one of the hub and not here yet."""
    if known.embedder != "auto" or importlib.util.find_spec("torch") is None:
        return ()
    choice = embedding.choose(known.embedder, offline=True, fetch=False)
    return () if choice.load else (MINILM,)


async def _pulled(model_id: str, name: str, url: str | None, known: Settings) -> int:
    """Fetch one model and say what came of it; returns the exit code."""
    if not model_id.startswith("local:"):
        _say("--", "dim", f"{public_id(model_id)}: {_elsewhere(name, url)}")
        return 0
    try:
        repos = repositories(name)
        if not repos:
            _say("ok", "green", f"{model_id} is a folder; there is nothing to fetch.")
        for repo in repos:
            with _progress(repo) as watch:
                pulled = await pull(repo, offline=known.offline, watch=watch)
            _say("ok", "green", _result(pulled))
    except ModelError as error:
        _say("!!", "red", f"{model_id}: {error}")
        return error.exit_code
    return 0


def _elsewhere(name: str, url: str | None) -> str:
    if url and urlsplit(url).port == OLLAMA_PORT:
        return f"nothing to fetch; if its server is Ollama, run ollama pull {name} there."
    return "nothing to fetch, as its server has the weights."


def _result(pulled: Pulled) -> str:
    if not pulled.asked:
        return f"{pulled.repo} is here; whether the hub has a newer version is not known."
    whole = f"{in_bytes(pulled.size)} in {pulled.files} files"
    if not pulled.fetched:
        return f"{pulled.repo} is here already: {whole}."
    return f"{pulled.repo} is fetched: {in_bytes(pulled.fetched)} of {whole}."


@contextmanager
def _progress(repo: str) -> Iterator[Watch]:
    """What is fetched, as a bar on a terminal and as a line elsewhere."""
    bar = Progress(
        TextColumn("  {task.description}", style="dim", markup=False),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
    task = bar.add_task(report.plain(repo), total=None)

    def planned(files: int, size: int) -> None:
        bar.update(task, total=size, description=report.plain(f"{repo}, {files} files"))
        if not err.is_terminal:
            err.print(f"  fetch    {repo}: {in_bytes(size)} in {files} files", soft_wrap=True)

    with bar:
        yield Watch(planned, lambda size: bar.advance(task, size))


def _say(mark: str, style: str, words: str) -> None:
    out.print(Text.assemble((f"{mark} ", style), report.plain(words)), soft_wrap=True)
