"""The story of a run for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from scholar import events, report
from scholar.events import Event
from scholar.journal import RunRow
from scholar.report import count
from scholar.report.timeline import Timed
from scholar.story import Part, Sitting, answer_of, lasted, resolved, tell, when
from scholar.values import Answer, Draft, Outcome, Step, Usage, Verdict

NAME_WIDTH = 9
TIME_WIDTH = 9
MONEY_WIDTH = 10
INDENT = 2
MOST_QUOTES = 12
MOST_TITLES = 5
MOST_SENTENCES = 12
"""Of each, how many are shown; a story that goes on for pages is not read, and `--json` has all."""
NOTHING = 0.05
"""Seconds under which a node that did nothing worth telling is left out."""

_NAMES = {
    "intake": "begin",
    "gate": "recall",
    "compose": "write",
    "section": "write",
    "sum_up": "write",
    "verify": "check",
    "deliberate": "jury",
    "brainstorm": "invent",
    "integrate": "ideas",
    "work_out": "work out",
}
"""What a reader calls a node, where its own name is not the best one."""

Delay = events.Retrying | events.Waiting | events.FellBack | events.Noted
_DELAYS = (events.Retrying, events.Waiting, events.FellBack, events.Noted)
"""What comes between; it is told after what a part did."""
Line = tuple[str, str]
"""A style, and what is said; the first line of a part stands beside its name."""


def show(row: RunRow, told: Sequence[Timed], console: Console) -> None:
    """Print the story of a run, at the width of `console`."""
    report.write_block(console, *_lines(row, told, console))


def _lines(row: RunRow, told: Sequence[Timed], console: Console) -> Iterator[Text]:
    yield Text(report.plain(row.question), style="bold")
    state = row.outcome.value if row.outcome else row.status
    preset = report.plain(row.preset)
    yield Text(f"run {row.run_id} · {preset} · {state} · {when(row.started)}", style="dim")
    yield Text("")
    sittings = tell(told)
    page = _Page(console)
    for before, sitting in zip([None, *sittings], sittings, strict=False):
        if before is not None:
            yield from _break(before, sitting)
        for part in sitting.parts:
            yield from page.part(part, waits=sitting.waits is not None)
        if sitting.waits is not None:
            for _, inquiry in sitting.waits.inquiries:
                yield from page.line("waits", ("", f"for a person: {inquiry.text}"))
    yield Text("")
    yield from _end(row, answer_of(row, told), bool(sittings))
    yield from _bill(sittings, row.usage)


def _break(before: Sitting, after: Sitting) -> Iterator[Text]:
    stopped = "waited" if before.waits else "stopped"
    pause = lasted(max(0.0, after.at - before.until))
    yield Text("")
    yield Text(f"  {stopped} here; taken up again {pause} later, {when(after.at)}", style="italic")
    yield Text("")


class _Page:
    """Lines of name, text, time and money."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._drafted = Draft()
        self._width = console.width - 2 - NAME_WIDTH - TIME_WIDTH - MONEY_WIDTH

    def part(self, part: Part, *, waits: bool) -> Iterator[Text]:
        """What was done at one visit to a node; nothing where there is nothing to tell."""
        broken = () if waits and part.seconds is None else _broken(part)
        lines = [*self._told(part), *broken]
        quiet = not (lines or part.calls)
        if part.node == "publish" or (quiet and (part.seconds or 0.0) < NOTHING):
            return
        first, *more = lines or [("", _did(part))]
        yield from self.line(_NAMES.get(part.node, part.node), first, part)
        for line in more:
            yield from self.line("", line)

    def _told(self, part: Part) -> Iterator[Line]:
        """What the events of a part say; of a revised draft, what is new in it."""
        for _, event in part.events:
            if isinstance(event, events.Drafted):
                yield from _draft(event, self._drafted)
                self._drafted = event.draft
            elif not isinstance(event, (events.Voted, *_DELAYS)):
                yield from _of(event)
        if votes := [event.verdict for _, event in part.events if isinstance(event, events.Voted)]:
            yield from _votes(votes)
        for _, event in part.events:
            if isinstance(event, _DELAYS):
                yield _delay(event)

    def line(self, name: str, said: Line, part: Part | None = None) -> Iterator[Text]:
        """`said` over as many lines as it needs, the first with name, time and money."""
        style, text = said
        indent = 0 if name else INDENT
        room = self._width if part else self._console.width - 2 - NAME_WIDTH - indent
        wrapped = Text(report.plain(text), style=style or "").wrap(self._console, room)
        for number, body in enumerate(wrapped):
            head = f"  {'' if number else name:<{NAME_WIDTH}}{' ' * indent}"
            line = Text.assemble((head, "bold"), body)
            if part is not None and not number:
                line.pad_right(max(0, room - body.cell_len))
                line.append(_took(part), style="dim")
            yield line


def _took(part: Part) -> str:
    seconds = "" if part.seconds is None else lasted(part.seconds)
    return f"{seconds:>{TIME_WIDTH}}{_money(part.usage):>{MONEY_WIDTH}}"


def _money(usage: Usage) -> str:
    if not usage.calls:
        return ""
    return "$?" if usage.dollars is None else f"${usage.dollars:.4f}"


def _did(part: Part) -> str:
    """What a part did of which no event tells."""
    if part.node == "gate":
        return "asked what the model knows already"
    written = {"compose": "a draft", "sum_up": "the summary", "mend": "what the jury asked for"}
    return written.get(part.node) or (count(len(part.calls), "call") if part.calls else "done")


def _broken(part: Part) -> Iterator[Line]:
    if part.failed:
        yield "red", part.failed
    elif part.seconds is None:
        yield "yellow", "cut short here"


def _of(event: Event) -> Iterator[Line]:
    match event:
        case events.Planned(steps):
            yield from _plan(steps)
        case events.Searched(step, passages, titles, total):
            papers = f"{len(titles)} of {count(total, 'paper')}"
            yield "", f"{count(passages, 'passage')} of {papers}: {step.query}"
            yield from _some([("dim", title) for title in titles], MOST_TITLES)
        case events.Used(tool, arguments, _, failed):
            given = ", ".join(f"{key}={value!r}" for key, value in arguments)
            yield "", f"{tool}({given}){f': {failed}' if failed else ''}"
        case events.Read(quotes, papers, dropped):
            text = f"{count(len(quotes), 'quote')} from {count(papers, 'paper')}"
            yield "", f"{text}; {dropped} dropped, not in the text" if dropped else text
            shown = [("dim", f"“{' '.join(quote.split())}”") for quote in quotes]
            yield from _some(shown, MOST_QUOTES)
        case events.Resolved(steps):
            yield "", resolved(steps)
            yield from ((("dim"), f"{s.id} {s.status}: {s.answer}") for s in steps if s.answer)
        case _:
            yield from _of_review(event)


def _of_review(event: Event) -> Iterator[Line]:
    match event:
        case events.Outlined(titles):
            yield "", count(len(titles), "section")
            yield from (("dim", f"{n}. {title}") for n, title in enumerate(titles, start=1))
        case events.Wrote(number, of, title, sentences):
            yield "", f"{number} of {of}, {count(sentences, 'sentence')}: {title}"
        case events.Tabled(papers, columns, said):
            cells = papers * len(columns)
            yield "", f"{count(papers, 'paper')}, {said} of {cells} cells said"
        case _:
            yield from _of_ideas(event)


def _of_ideas(event: Event) -> Iterator[Line]:
    match event:
        case events.Seeded(_, thoughts):
            yield "", count(thoughts, "thought")
        case events.Proposed(titles):
            yield "", count(len(titles), "idea")
            yield from (("dim", f"{n}. {title}") for n, title in enumerate(titles, start=1))
        case events.Placed(title, verdict):
            yield "", f"{verdict}: {title}"
        case _:
            pass


def _delay(event: Delay) -> Line:
    match event:
        case events.Retrying(role, reason, wait):
            return "yellow", f"{role} asked again after {wait:.0f} s: {reason}"
        case events.Waiting(role, model, wait):
            return "dim", f"{role}: up to {wait:.0f} s for the limits of {model}"
        case _:
            return "yellow", event.note


def _plan(steps: Sequence[Step]) -> Iterator[Line]:
    if not steps:
        yield "", "nothing more to search for"
        return
    yield "", count(len(steps), "step")
    for number, step in enumerate(steps, start=1):
        tool = f" (by {step.tool})" if step.tool else ""
        yield "dim", f"{number}. {step.question}{tool}"


def _draft(event: events.Drafted, before: Draft) -> Iterator[Line]:
    sentences = event.draft.sentences
    text = f"{count(len(sentences), 'sentence')} carried by quotes"
    if event.revision:
        text += f", revision {event.revision}"
    yield "", f"{text}; {event.dropped} dropped" if event.dropped else text
    known = {sentence.text for sentence in before.sentences}
    new = [("dim", sentence.text) for sentence in sentences if sentence.text not in known]
    yield from _some(new, MOST_SENTENCES)
    if same := len(sentences) - len(new):
        gone = len(known) - same
        yield "dim", f"{same} as before{f', {gone} taken out' if gone and not new else ''}"
    for conflict in event.draft.conflicts:
        yield "", f"the sources disagree: {conflict.about}"
        yield from (("dim", side.text) for side in conflict.sides)
    if event.draft.missing:
        yield "", f"missing: {event.draft.missing}"


def _votes(votes: Sequence[Verdict]) -> Iterator[Line]:
    accepting = sum(vote.action == "accept" and not vote.failed for vote in votes)
    yield "", f"{accepting} of {len(votes)} jurors accept"
    for vote in sorted(votes, key=lambda vote: vote.juror):  # they come in any order
        why = "" if vote.failed or not vote.reasons else f": {'; '.join(vote.reasons)}"
        yield "dim", f"{report.vote(vote)}{why}"
        if vote.query:
            yield "dim", f"  to be searched for: {vote.query}"


def _some(lines: Sequence[Line], most: int) -> Iterator[Line]:
    """The first of `lines`, and how many more there are; one more is not worth saying so."""
    shown = lines if len(lines) <= most + 1 else lines[:most]
    yield from shown
    if more := len(lines) - len(shown):
        yield "dim", f"and {more} more"


def _end(row: RunRow, answer: Answer | None, traced: bool) -> Iterator[Text]:
    """How the run ended, or what it waits for and how it goes on."""
    if not traced:
        yield Text("No trace of this run was kept; set trace.keep to true for later ones.")
    if answer is None:
        goes_on = {
            "waiting": f"It waits for a person: scholar runs resume {row.run_id} asks again.",
            "running": "It is under way.",
        }
        stopped = f"It has stopped: scholar runs resume {row.run_id} goes on where it was."
        yield Text(goes_on.get(row.status, stopped))
        return
    outcome = answer.outcome.value.replace("_", " ").capitalize()
    yield Text(f"{outcome}{_found(answer)}.")
    for note in answer.notes:
        yield Text(f"Note: {report.plain(note)}")


def _found(answer: Answer) -> str:
    parts = [count(len(answer.review.sections), "section")] if answer.review else []
    what = "quote" if answer.outcome is Outcome.EVIDENCE else "sentence"
    parts += [count(len(answer.sentences), what)] if answer.sentences else []
    papers = f" from {count(len(answer.bibliography), 'paper')}"
    return f": {' and '.join(parts)}{papers}" if parts else ""


def _bill(sittings: Sequence[Sitting], usage: Usage) -> Iterator[Text]:
    """What each kind of step took in all, and the whole run."""
    yield Text("")
    together: dict[str, list[Part]] = {}
    for sitting in sittings:
        for part in sitting.parts:
            together.setdefault(_NAMES.get(part.node, part.node), []).append(part)
    for name, parts in together.items():
        seconds = sum(part.seconds or 0.0 for part in parts)
        spent = Usage.of((call for part in parts for call in part.calls), seconds)
        if not spent.calls and seconds < NOTHING:
            continue
        tokens = f"{spent.input_tokens + spent.output_tokens:,} tokens" if spent.calls else ""
        calls = count(spent.calls, "call") if spent.calls else ""
        took = lasted(seconds) if seconds else ""
        yield Text(
            f"  {name:<{NAME_WIDTH}}{calls:>10}{tokens:>18}"
            f"{took:>{TIME_WIDTH}}{_money(spent):>{MONEY_WIDTH}}",
            style="dim",
        )
    yield Text(f"  {'in all':<{NAME_WIDTH}} {report.cost(usage)}", style="dim")
