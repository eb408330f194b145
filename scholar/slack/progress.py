"""What a run is doing, as a message shows it while it lasts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from scholar import events
from scholar.events import Event
from scholar.report import vote
from scholar.report.words import count
from scholar.slack import rich
from scholar.slack.blocks import Message, mark
from scholar.slack.rich import Block, Span, unit
from scholar.slack.text import escape
from scholar.text import plain

LONGEST = 240
"""Characters of a line, which is there to be glanced at."""


@dataclass
class Line:
    """One kind of work, what came of it so far, and whether it is done.

    `brief` says the same in the bot's own words alone, for where Slack reads text as markup.
    """

    name: str
    said: str = ""
    brief: str = ""
    done: bool = False


_NAMES = {
    "plan": "Planning",
    "search": "Searching",
    "read": "Reading",
    "write": "Writing",
    "jury": "The jury",
}


@dataclass
class Progress:
    """The lines of a run. `see` an event, and show `message` or the `tasks` of a stream."""

    question: str
    waiting: int = 0
    lines: dict[str, Line] = field(default_factory=dict)
    papers: dict[str, None] = field(default_factory=dict)
    votes: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """What is going on, in a few words."""
        if self.waiting:
            return f"Waiting, number {self.waiting} in the queue …"
        doing = [line.name for line in self.lines.values() if not line.done]
        return f"{doing[-1]} …" if doing else "Looking into it …"

    def see(self, event: Event) -> bool:
        """Take in an event; whether that changes what is shown."""
        match event:
            case events.Planned(steps):
                asked = "; ".join(step.question for step in steps)
                counted = count(len(steps), "step")
                self._done("plan", f"{counted}: {asked}" if len(steps) > 1 else asked, counted)
                self._doing("search")
            case events.Searched(_, _, titles, total):
                self.papers |= dict.fromkeys(titles)
                counted = f"{count(len(self.papers), 'paper')} of {total}"
                self._done("search", f"{counted}: {'; '.join(self.papers)}", counted)
                self._doing("read")
            case events.Read(quotes, papers, _):
                self._done("read", f"{count(len(quotes), 'quote')} from {count(papers, 'paper')}")
                self._doing("write")
            case events.Drafted(draft, revision, _):
                revised = f", revision {revision}" if revision else ""
                self._done("write", f"{count(len(draft.sentences), 'sentence')}{revised}")
                self.votes.clear()
                self._doing("jury")
            case events.Wrote(number, of, title, _):
                self._doing("write", f"{number} of {of}: {title}", f"{number} of {of}")
            case events.Voted(verdict):
                self.votes.append(vote(verdict))
                self._doing("jury", ", ".join(self.votes), f"{len(self.votes)} have voted")
            case _:
                return self._see_delay(event)
        return True

    def _see_delay(self, event: Event) -> bool:
        match event:
            case events.Retrying(role, reason, wait):
                again = f"again in {wait:.0f} s"
                self._doing("wait", f"the {role}, {again}: {reason}", again)
            case events.Waiting(_, model, wait):
                self._doing("wait", f"up to {wait:.0f} s for the limits of {model}")
            case events.FellBack():
                self._done("wait", event.note, "another model stands in")
            case events.Noted(note):
                self._done("note", note, "see below")
            case _:
                return False
        return True

    def _doing(self, name: str, said: str = "", brief: str = "") -> None:
        self._put(name, Line(_NAMES.get(name, name.capitalize()), said, brief or said))

    def _done(self, name: str, said: str, brief: str = "") -> None:
        self._put(name, Line(_NAMES.get(name, name.capitalize()), said, brief or said, done=True))

    def _put(self, name: str, line: Line) -> None:
        # A kind of work that begins again stands last, where the eye is.
        self.lines.pop(name, None)
        self.lines[name] = line

    def message(self, ask: str) -> Message:
        """All of it, with the button that cancels."""
        units = [unit(Span(f"{self.title}\n", bold=True)), *map(self._unit, self.lines.values())]
        blocks = rich.paragraph(units)
        blocks[0] |= {"block_id": mark(ask)}
        return Message(escape(self.title), (*blocks, cancel_button(ask)))

    def _unit(self, line: Line) -> rich.Unit:
        said = f"  {_short(line.said)}" if line.said else "  …"
        return unit(Span(line.name, italic=not line.done), said, "\n")

    def tasks(self) -> Iterator[Block]:
        """The same as chunks of a stream; each replaces the one before it with its id."""
        yield {"type": "plan_update", "title": self.title}
        for id, line in self.lines.items():
            status = "complete" if line.done else "in_progress"
            task = {"type": "task_update", "id": id, "title": line.name, "status": status}
            yield {**task, "details": line.brief} if line.brief else task


def cancel_button(ask: str) -> Block:
    """The row with the button that ends a run."""
    return rich.actions(f"cancel:{ask}", rich.button("Cancel", "cancel", ask))


def _short(text: str) -> str:
    line = " ".join(plain(text).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1].rsplit(' ', 1)[0]} …"
