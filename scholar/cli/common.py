"""How every command runs: its errors become a sentence and an exit code."""

from __future__ import annotations

import asyncio
import json as json_module
import os
import sys
import traceback
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import platformdirs
import typer
from rich.console import Console

from scholar.errors import ScholarError

CANCELLED = 130

out = Console(highlight=False, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, markup=False, emoji=False)


def run(command: Coroutine[Any, Any, int | None]) -> None:
    """Run `command` and exit with the code it returns, or with that of its error."""
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
    err.print(f"scholar: {message}", soft_wrap=True)


def notice(message: str) -> None:
    """Say on standard error what a person should know."""
    err.print(message, style="yellow")


def print_json(value: object) -> None:
    """Print plain data as JSON on standard output."""
    typer.echo(json_module.dumps(value, ensure_ascii=False, indent=2))


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
