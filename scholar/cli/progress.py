"""What a run is doing, line by line on standard error; the growing draft on a terminal."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.spinner import Spinner
from rich.text import Text

from scholar import events, report, story
from scholar.cli import choosing
from scholar.cli.common import likely_words
from scholar.events import Event
from scholar.values import Inquiry, Step

DRAFT_LINES = 8
"""Lines of the growing draft that stay in view."""
NAME_WIDTH = 11
TIME_WIDTH = 9


class Progress:
    """Shows events on `console` as they come. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._asking = asyncio.Lock()
        self._live = Live(console=console, transient=True, refresh_per_second=12)

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        if self._console.is_terminal:
            self._live.start()
        self._doing("starting")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    async def consult(self, inquiry: Inquiry) -> Any:
        """What the user replies to `inquiry`: to one about a plan yes, no or other questions, to
        one about ideas what is to become of them, to any other yes or no. Anything but y or yes is
        a no.
        """
        if inquiry.kind == "ideas":
            return await self._choose(inquiry)
        async with self._stepping_aside():
            if inquiry.kind == "plan":
                return await self._consult_on_plan(inquiry)
            return await self._agrees(report.plain(inquiry.text), "y/N")

    @asynccontextmanager
    async def _stepping_aside(self) -> AsyncIterator[None]:
        """Leave the terminal to the user; the time that takes is not the run's."""
        async with self._asking:
            self._live.stop()
            came = time.monotonic()
            try:
                yield
            finally:
                self._began += time.monotonic() - came
                if self._console.is_terminal:
                    self._live.start()

    async def _agrees(self, question: str, choices: str) -> bool:
        return (await self._typed(f"{question} [{choices}] ")).lower() in ("y", "yes")

    async def _consult_on_plan(self, inquiry: Inquiry) -> Any:
        self._console.print("The plan is to search for:")
        for n, step in enumerate(inquiry.detail["steps"], start=1):
            self._console.print(Text(f"  {n}. {report.plain(step)}"))
        likely = likely_words(inquiry.detail["estimate"])
        self._console.print(f"The whole run is likely to take {likely}.", style="dim")
        word = (await self._typed("Follow it? [y/N, or e to edit] ")).lower()
        if word not in ("e", "edit"):
            return word in ("y", "yes")
        self._console.print("One question a line; an empty line ends.", style="dim")
        questions: list[str] = []
        while line := await self._typed(f"  {len(questions) + 1}. "):
            questions.append(line)
        return questions

    async def _typed(self, prompt: str) -> str:
        self._console.print(Text(prompt), end="", soft_wrap=True)
        return (await line_of_input()).strip()

    async def _choose(self, inquiry: Inquiry) -> list[dict[str, Any]]:
        async with self._stepping_aside():
            self._console.print(Text(report.plain(choosing.shown(inquiry))))
            while True:
                wishes, unknown = choosing.understood(await self._typed("> "))
                if not unknown:
                    return wishes
                said = "; ".join(map(report.plain, unknown))
                self._console.print(Text(f"Not understood: {said}"))

    def show(self, event: Event) -> None:
        """Show one event."""
        match event:
            case events.Planned(steps) if len(steps) > 1:
                self._line("plan", f"{len(steps)} steps")
                for n, step in enumerate(steps, start=1):
                    self._line("", f"{n}. {step.question}", timed=False)
                self._doing("searching")
            case events.Searched(step, passages, titles, total):
                found = f"{report.count(passages, 'passage')} of {len(titles)} of {total} papers"
                self._line("search", f"{found}: {step.query}")
                self._doing("reading")
            case events.Read(quotes, papers, dropped):
                self._line("read", _read(len(quotes), papers, dropped))
                for quote in quotes[:3]:
                    self._line("", f"“{' '.join(quote.split())}”", timed=False, one_line=True)
                self._doing("writing")
            case events.Resolved(steps):
                self._line("resolve", _resolved(steps))
                self._doing("planning on")
            case events.Drafting(text):
                self._doing("writing", text)
            case events.Drafted(draft, revision, dropped):
                self._line("write", _written(len(draft.sentences), revision, dropped))
                self._doing("the jury is reading")
            case events.Voted(verdict):
                self._line("jury", report.vote(verdict))
            case _:
                self._show_review(event)

    def _show_review(self, event: Event) -> None:
        match event:
            case events.Outlined(titles):
                self._line("outline", report.count(len(titles), "section"))
                for n, title in enumerate(titles, start=1):
                    self._line("", f"{n}. {title}", timed=False)
                self._doing("writing")
            case events.Wrote(number, of, title, sentences):
                self._line(
                    "write", f"{number} of {of}, {report.count(sentences, 'sentence')}: {title}"
                )
            case events.Tabled(papers, columns, said):
                cells = papers * len(columns)
                self._line(
                    "table", f"{report.count(papers, 'paper')}, {said} of {cells} cells said"
                )
            case _:
                self._show_ideas(event)

    def _show_ideas(self, event: Event) -> None:
        match event:
            case events.Seeded(route, thoughts):
                self._line(route, report.count(thoughts, "thought"))
                self._doing("thinking")
            case events.Proposed(titles):
                self._line("ideas", report.count(len(titles), "idea"))
                for title in titles:
                    self._line("", title, timed=False, one_line=True)
                self._doing("working them out")
            case events.Placed(title, verdict):
                self._line("novelty", f"{verdict}: {title}")
            case _:
                self._show_delay(event)

    def _show_delay(self, event: Event) -> None:
        match event:
            case events.Retrying(role, reason, wait):
                self._line("retry", f"{role}: {reason} Again in {wait:.0f} s.")
            case events.Waiting(role, model, wait):
                self._line("wait", f"{role}: up to {wait:.0f} s for the limits of {model}")
            case events.Noted(note):
                self._line("note", note)
            case events.FellBack(role, failed, to, reason):
                self._line("instead", f"{role}: {to} for {failed}: {reason}")
            case _:
                pass

    def _line(self, name: str, text: str, *, timed: bool = True, one_line: bool = False) -> None:
        seconds = f"{time.monotonic() - self._began:.1f} s" if timed else ""
        width = self._console.width - NAME_WIDTH - TIME_WIDTH - 2
        body = Text(report.plain(text))
        if one_line or self._console.is_terminal:
            body.truncate(width, overflow="ellipsis")
        body.pad_right(max(0, width - body.cell_len))
        line = Text.assemble(
            "  ", (f"{name:<{NAME_WIDTH}}", "bold"), body, f"{seconds:>{TIME_WIDTH}}"
        )
        line.rstrip()
        self._console.print(line, style="dim", soft_wrap=True)

    def _doing(self, what: str, draft: str = "") -> None:
        if not self._console.is_terminal:
            return
        parts: list[RenderableType] = [Spinner("dots", Text(f" {what}", style="dim"))]
        if draft:
            lines = Text(report.plain(draft)).wrap(self._console, self._console.width - 4)
            tail = Text("\n").join(lines[-DRAFT_LINES:])
            tail.stylize("dim italic")
            parts.append(Padding(tail, (0, 2)))
            parts.append(Text("  (a draft; its quotes are not checked yet)", style="dim"))
        self._live.update(Group(*parts))


async def line_of_input() -> str:
    """The next line that the user types, or "" at the end of input."""
    loop = asyncio.get_running_loop()
    typed: asyncio.Future[str] = loop.create_future()

    def tell(line: str) -> None:
        if not typed.done():
            typed.set_result(line)

    def read() -> None:
        line = sys.stdin.readline()
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, line)

    # Ctrl-C must not wait for a line, so the thread is one that nobody waits for.
    threading.Thread(target=read, daemon=True).start()
    return await typed


def _read(quotes: int, papers: int, dropped: int) -> str:
    text = f"{report.count(quotes, 'quote')} from {report.count(papers, 'paper')}"
    return f"{text}; {dropped} dropped, not in the text" if dropped else text


def _resolved(steps: Sequence[Step]) -> str:
    last = [step.answer for step in steps if step.status in ("solved", "corrected")][-1:]
    return "; last: ".join(filter(None, (story.resolved(steps), *last)))


def _written(sentences: int, revision: int, dropped: int) -> str:
    text = report.count(sentences, "sentence")
    if revision:
        text += f", revision {revision}"
    return f"{text}; {dropped} dropped, not carried by quotes" if dropped else text
