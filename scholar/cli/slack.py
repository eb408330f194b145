"""`scholar slack`."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack, suppress
from importlib.util import find_spec

from rich.text import Text

from scholar import report, settings
from scholar.cli.common import err, notice, out, print_json
from scholar.errors import SourceError, UsageError
from scholar.runs import Scholar


async def listen(http: int | None, host: str) -> int:
    """Answer in Slack until it is told to stop."""
    _installed()
    from scholar.slack import front
    from scholar.slack.keys import Keys
    from scholar.slack.post import Refused, Unsure

    known = settings.load()
    keys = Keys.of(known)
    try:
        async with AsyncExitStack() as stack:
            scholar = await stack.enter_async_context(Scholar(known, on_notice=notice))
            bot = await stack.enter_async_context(front.opened(known, scholar))
            if http is None:
                await stack.enter_async_context(front.by_socket(bot, keys))
                where = "in Socket Mode"
            else:
                port = await stack.enter_async_context(front.by_http(bot, keys, host, http))
                where = f"at http://{host}:{port}{front.PATH}"
            err.print(f"Listening {where}; Ctrl-C ends it, and nothing is lost.", style="dim")
            await _until_told(bot.failed)
    except (Refused, Unsure) as error:
        raise SourceError(f"{report.plain(str(error))} See scholar slack --check.") from None
    return 0


async def _until_told(failed: asyncio.Future[None]) -> None:
    """Wait for Ctrl-C or SIGTERM; raises what ends the bot before."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    with suppress(NotImplementedError):  # Windows has no such handlers, and Ctrl-C all the same
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, told.set)
    failed.add_done_callback(lambda _: told.set())
    await told.wait()
    if failed.done():
        failed.result()


async def check(json: bool) -> int:
    """Print what is set up; the exit code of a service that cannot be used where it is not."""
    _installed()
    from scholar.slack.check import findings

    found = [finding async for finding in findings(settings.load())]
    if json:
        print_json([{"name": f.name, "good": f.good, "said": f.said} for f in found])
    else:
        words = {True: "good", False: "bad", None: "–"}
        for finding in found:
            head = f"{finding.name:<12} {words[finding.good]:<5}"
            out.print(report.hanging(head, report.plain(finding.said)))
        if not any(finding.good is False for finding in found):
            out.print(Text("The bot can be started: scholar slack", style="dim"))
    return SourceError.exit_code if any(finding.good is False for finding in found) else 0


def _installed() -> None:
    if find_spec("slack_bolt") is None or find_spec("aiohttp") is None:
        raise UsageError("Slack's packages are not installed; pip install 'scholar[slack]'.")
