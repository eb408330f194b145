"""Standing questions in Slack: kept by `/scholar watch`, asked again once a day, told of where they
were kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from scholar.errors import RunTaken, ScholarError
from scholar.journal.watches import Watch
from scholar.report import reference
from scholar.report.words import count
from scholar.slack import rich
from scholar.slack.blocks import Message, note, preview
from scholar.slack.bot import Bot
from scholar.slack.rich import Block, Span, unit
from scholar.watch import Report, look

EVERY = 86_400.0
"""Seconds between two looks: a day, in which arXiv announces once."""
MOST = 20
"""Standing questions of one channel; each may cost a run a day."""
_SIGNS = {"new": "new", "changed": "changed", "gone": "no longer said", "retracted": "retracted"}
USAGE = (
    "Say /scholar watch QUESTION to be told here when new papers change its answer, "
    "/scholar watch list, or /scholar watch remove ID."
)


def place_of(bot: Bot, channel: str) -> str:
    """How the journal knows a channel."""
    return f"slack {bot.team} {channel}"


async def command(bot: Bot, channel: str, user: str, rest: str) -> None:
    """What `/scholar watch …` asks for."""
    name, _, id = rest.partition(" ")
    watches = bot.desk.watches
    here = [w for w in await watches.all() if w.place == place_of(bot, channel)]
    if rest in ("", "list"):
        said = note(USAGE) if not here else _listed(here)
    elif name == "remove" and id:
        fitting = [watch for watch in here if watch.watch_id.startswith(id.strip())]
        if len(fitting) == 1:
            await watches.remove(fitting[0].watch_id)
        said = note("Removed." if len(fitting) == 1 else f"No standing question here is {id}.")
    elif len(here) >= MOST:
        said = note(f"This channel has {MOST} standing questions; remove one first.")
    else:
        watch = bot.desk.new_watch(rest, place_of(bot, channel))
        await watches.put(watch)
        said = note("I answer it now, and tell you here when new papers change the answer.")
        bot.soon(_told_of(bot, watch))
    await bot.say_to(channel, user, said)


async def look_at_all(bot: Bot) -> None:
    """Look at what was not looked at for a day, and tell what has changed."""
    now = bot.desk.clock()
    for watch in await bot.desk.watches.all():
        due = watch.checked is None or now - watch.checked >= EVERY
        if due and watch.place.startswith(f"slack {bot.team} "):
            await _told_of(bot, watch)


async def _told_of(bot: Bot, watch: Watch) -> None:
    channel = watch.place.rpartition(" ")[2]
    try:
        report = await look(bot.desk.scholar, watch)
    except RunTaken:
        return  # another process is at it
    except ScholarError as error:
        if await _put_off(bot, watch):
            await bot.complain(error)
        return
    if report.status == "failed":
        await _put_off(bot, watch)
    elif report.status in ("first", "changed"):
        blocks = rich.pages(list(_body(report)))[0]
        await bot.say(channel, Message(f"Of new papers: {preview_of(report)}", tuple(blocks)))


async def _put_off(bot: Bot, watch: Watch) -> bool:
    """Have it looked at again tomorrow, not every minute; False where it was removed meanwhile."""
    return await bot.desk.watches.update(replace(watch, checked=bot.desk.clock()))


def preview_of(report: Report) -> str:
    """What a notification says."""
    return preview(report.answer) if report.answer else ""


def _body(report: Report) -> Iterator[Block]:
    yield from rich.paragraph([unit(Span(report.watch.question, bold=True))])
    if report.answer is None:
        return
    if report.status == "first":
        lines = [unit(sentence.text + "\n") for sentence in report.answer.sentences]
        yield from rich.paragraph(lines or [unit("The library does not answer this yet.")])
    titles = {p.id: reference(p) for p in (*report.new, *report.answer.bibliography)}
    for change in report.changes:
        lines = [unit(Span(f"{_SIGNS[change.kind]}: ", italic=True), change.after or change.before)]
        if change.kind == "changed":
            lines.append(unit(Span("\nbefore: ", italic=True), change.before))
        lines += [unit(f"\nby {titles.get(id, id)}") for id in change.papers]
        yield from rich.paragraph(lines, "rich_text_quote")


def _listed(watches: Sequence[Watch]) -> Message:
    lines = [unit(Span(f"{each.watch_id}  ", bold=True), f"{each.question}\n") for each in watches]
    return Message(count(len(watches), "standing question"), tuple(rich.paragraph(lines)))
