"""How every command runs: its errors become a sentence and an exit code."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
import typer
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn
from rich.text import Text

from scholar import report
from scholar.errors import ScholarError
from scholar.settings import Settings

if TYPE_CHECKING:
    from scholar.library import Library

CANCELLED = 130


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # for `run`; rich would end the process on its own terms


out = _Console(highlight=False, markup=False, emoji=False)
err = _Console(stderr=True, highlight=False, markup=False, emoji=False)


def run(command: Coroutine[Any, Any, int | None]) -> None:
    """Run `command` and exit with the code it returns, or with that of its error."""
    gc.enable()  # see scholar.__main__
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that has no sign for a letter of a title is no reason to fail.
        sys.stdout.reconfigure(errors="replace")
    try:
        code = asyncio.run(command)
    except ScholarError as error:
        complain(str(error))
        code = error.exit_code
    except (KeyboardInterrupt, asyncio.CancelledError):
        complain("Cancelled; nothing is lost, run the command again to go on.")
        code = CANCELLED
    except BrokenPipeError:
        # Whoever read the output has gone; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        code = _unexpected(error)
    raise typer.Exit(code or 0)


def complain(message: str) -> None:
    """Say on standard error what is wrong."""
    err.print(f"scholar: {report.plain(message)}", soft_wrap=True)


def notice(message: str) -> None:
    """Say on standard error what a person should know."""
    err.print(report.plain(message), style="yellow")


def counting(*more: ProgressColumn) -> Progress:
    """A bar on standard error that counts what is done and goes when all is; none in a pipe."""
    return Progress(
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *more,
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


@contextmanager
def working(doing: str, *more: ProgressColumn) -> Iterator[Callable[[str, int, int], None]]:
    """Shows a bar as `counting`, and gives what moves it: what is being done, how much of it is
    done, and of how much.
    """
    with counting(*more) as bar:
        task = bar.add_task(doing, total=None)
        update = bar.update

        def at(doing: str, done: int, total: int) -> None:
            update(task, description=doing, completed=done, total=total)

        yield at


@asynccontextmanager
async def library_of(known: Settings) -> AsyncIterator[Library]:
    """The library that the settings name; what it has to say goes to standard error."""
    from scholar.library import Library  # it takes longer to load than a list of runs to print

    library = Library(known, on_notice=notice)
    try:
        yield library
    finally:
        library.close()


def print_columns(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a list on standard output: every column whole, but the last as far as a terminal is
    wide.
    """
    lines = [[report.plain(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    room = out.width - sum(widths[:-1]) - 2 * (len(widths) - 1)
    for n, (*cells, last) in enumerate(lines):
        text = Text(last)
        if out.is_terminal:
            text.truncate(max(room, 10), overflow="ellipsis")
        start = "".join(
            f"{set_cell_size(cell, w)}  " for cell, w in zip(cells, widths, strict=False)
        )
        out.print(Text(start) + text, style="dim" if n == 0 else "", soft_wrap=True)


def likely_words(estimate: Mapping[str, Any]) -> str:
    """An estimate of a run, as plain data, in words."""
    (few, many), (least, most) = estimate["calls"], estimate["tokens"]
    likely = f"{few:,} to {many:,} calls, {least:,} to {most:,} tokens"
    if estimate["dollars"] is None:
        return f"{likely}, price unknown"
    low, high = estimate["dollars"]
    return f"{likely}, ${low:.4f} to ${high:.4f}"


def print_json(value: object) -> None:
    """Print plain data as JSON on standard output."""
    typer.echo(report.json_text(value))


def _unexpected(error: Exception) -> int:
    log = Path(platformdirs.user_log_dir("scholar")) / "errors.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.writelines(traceback.format_exception(error))
        advice = f"please report it with the last lines of {log}."
    except OSError as unwritable:
        advice = f"please report it; the details could not be written to {log} ({unwritable})."
    complain(f"Something went wrong that should not have ({error!r}); {advice}")
    return 1
