"""What Slack tells of, one function for each kind: messages, buttons, commands, shortcuts.

They return at once: what must not be lost is kept before, what takes time is done after.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scholar.report import reference
from scholar.report.words import count
from scholar.slack import adding, rich, watching, words
from scholar.slack.adding import things_in
from scholar.slack.blocks import Message, evidence_view, note
from scholar.slack.bot import Bot, deeper
from scholar.slack.rich import Span, unit
from scholar.slack.store import Ask
from scholar.slack.text import addresses, mentions, question_in, without_addresses

Payload = Mapping[str, Any]
FEW_WORDS = 3
"""Fewer beside a link are no question."""
SHORTCUT = "find_evidence"
PROMPTS = (
    "What does the library hold on my topic?",
    "Where do the papers disagree?",
    "Which claim of mine has the weakest evidence?",
)
_HEARD = frozenset({None, "file_share", "thread_broadcast"})
"""Subtypes of messages that a person has written."""
_SHOWN_PAPERS = 20


def message(bot: Bot, event: Payload) -> None:
    """Somebody has written something, or a message was deleted."""
    if event.get("subtype") == "message_deleted":
        bot.deleted(str(event["channel"]), str(event.get("deleted_ts", "")))
        return
    if event.get("subtype") not in _HEARD or event.get("bot_id") or not event.get("user"):
        return
    if event["user"] == bot.user or event.get("hidden") or not _is_meant(bot, event):
        return
    channel, ts, user = str(event["channel"]), str(event["ts"]), str(event["user"])
    thread = str(event.get("thread_ts") or ts)
    key = f"message:{channel}:{ts}"
    if refusal := bot.refusal(channel, user, str(event.get("user_team") or "")):
        if bot.store.first_time(f"refused:{key}"):
            bot.soon(bot.whisper(channel, user, refusal, thread))
        return
    said = question_in(str(event.get("text") or ""), bot.user)
    things = things_in(addresses(said), event.get("files") or ())
    if things and bot.store.first_time(f"offer:{key}"):
        bot.soon(adding.offer(bot, channel, thread, things))
    if things and len(without_addresses(said).split()) < FEW_WORDS:
        return
    if said:
        bot.ask(Ask(key, bot.team, channel, thread, user, said, source=ts))
    elif bot.store.first_time(f"help:{key}"):
        bot.soon(bot.whisper(channel, user, words.HELP, thread))


def _is_meant(bot: Bot, event: Payload) -> bool:
    """Whether a message speaks to the bot: directly, by name, or in a thread that it is in and to
    nobody else.
    """
    channel, spoken_to = str(event["channel"]), mentions(str(event.get("text") or ""))
    if channel.startswith("D") or event.get("channel_type") == "im" or bot.user in spoken_to:
        return True
    thread = str(event.get("thread_ts") or "")
    return bool(thread) and not spoken_to and bot.store.knows_thread(channel, thread)


def pane_opened(bot: Bot, event: Payload) -> None:
    """Slack's assistant pane was opened: say what can be asked."""
    about = event["assistant_thread"]
    place = {"channel_id": about["channel_id"], "thread_ts": about["thread_ts"]}
    if bot.store.first_time(f"pane:{place['channel_id']}:{place['thread_ts']}"):
        bot.soon(_greet(bot, place))


async def _greet(bot: Bot, place: dict[str, str]) -> None:
    prompts = [{"title": prompt, "message": prompt} for prompt in PROMPTS]
    await bot.say(
        place["channel_id"],
        note("Ask me what the papers of the library say; every sentence comes with its quotes."),
        place["thread_ts"],
    )
    await bot.poster.call("assistant.threads.setSuggestedPrompts", **place, prompts=prompts)


# Commands


def command(bot: Bot, body: Payload) -> str:
    """`/scholar …`: what to answer at once, to the one who has typed it alone."""
    channel, user = str(body["channel_id"]), str(body["user_id"])
    if refusal := bot.refusal(channel, user, str(body.get("team_id") or "")):
        return refusal
    name, _, rest = str(body.get("text") or "").strip().partition(" ")
    rest = question_in(rest, bot.user)
    key = f"trigger:{body['trigger_id']}"
    if name in ("ask", "ideas"):
        if not rest:
            return f"Say what, as in /scholar {name} what you would like to know."
        bot.ask(Ask(key, bot.team, channel, "", user, rest, kind=name))
        return ""
    if name == "add":
        if not rest:
            return "Say which papers, as in /scholar add 2502.14802 10.1000/x."
        if bot.store.first_time(key):
            bot.soon(_add(bot, channel, user, rest))
        return "Adding …"
    if name == "papers":
        bot.soon(_papers(bot, channel, user, rest))
        return "Looking …"
    if name == "watch":
        if bot.store.first_time(key):
            bot.soon(watching.command(bot, channel, user, rest))
        return "Looking …"
    return words.HELP


async def _add(bot: Bot, channel: str, user: str, named: str) -> None:
    wanted = named.replace(",", " ").split()[: adding.MOST]
    results = await bot.desk.add(bot.desk.shelves.shared, wanted)
    await bot.say_to(channel, user, adding.told(results))


async def _papers(bot: Bot, channel: str, user: str, wanted: str) -> None:
    papers = await bot.desk.papers(wanted)
    first = papers[:_SHOWN_PAPERS]
    counted = count(len(papers), "paper")
    what = f" for “{wanted}”, the best first" if wanted else ""
    lines = [unit(Span(f"{counted}{what}\n", bold=True))]
    lines += [unit(f"•  {reference(paper)}\n") for paper in first]
    if len(papers) > len(first):
        lines.append(unit(f"and {len(papers) - len(first)} more; name words to narrow it down."))
    blocks = rich.pages(rich.paragraph(lines))[0]
    await bot.say_to(channel, user, Message(counted, tuple(blocks)))


def shortcut(bot: Bot, body: Payload) -> None:
    """“Find evidence for this”, in the menu of a message."""
    about, user = body["message"], str(body["user"]["id"])
    channel, ts = str(body["channel"]["id"]), str(about["ts"])
    thread = str(about.get("thread_ts") or ts)
    said = question_in(str(about.get("text") or ""), bot.user)
    refusal = bot.refusal(channel, user, str((body.get("team") or {}).get("id") or ""))
    if refusal or not said:
        problem = refusal or "There is no text in that message to find evidence for."
        bot.soon(bot.whisper(channel, user, problem, thread))
        return
    question = f"What evidence is there for or against this: {said}"
    key = f"trigger:{body['trigger_id']}"
    bot.ask(Ask(key, bot.team, channel, thread, user, question))


# Buttons


def pressed(bot: Bot, body: Payload) -> None:
    """A button of the bot's."""
    action = body["actions"][0]
    name, value, user = (
        str(action["action_id"]),
        str(action.get("value") or ""),
        str(body["user"]["id"]),
    )
    container = body.get("container") or {}
    channel = str((body.get("channel") or {}).get("id") or container.get("channel_id") or "")
    team = str(body["user"].get("team_id") or "")
    trigger = str(body.get("trigger_id") or "")
    if refusal := bot.refusal(channel, user, team):
        bot.soon(bot.whisper(channel or user, user, refusal))
    elif name.startswith("add_"):
        _pressed_add(bot, name, value, channel, str(container.get("message_ts") or ""), user)
    elif name.startswith("evidence"):
        bot.soon(_show_evidence(bot, name, value, trigger, body.get("view") or {}))
    elif ask := bot.store.get(value.partition(" ")[0]):
        _pressed_answer(bot, name, value, ask, user, trigger)


def _pressed_add(bot: Bot, name: str, value: str, channel: str, ts: str, user: str) -> None:
    if not bot.store.first_time(f"{name}:{channel}:{ts}"):
        return
    if name == "add_nothing":
        bot.soon(bot.replace(channel, ts, note("Not added.")))
    else:
        private = name == "add_private" and channel.startswith("D")
        bot.soon(adding.add(bot, channel, ts, user, value, private=private))


def _pressed_answer(bot: Bot, name: str, value: str, ask: Ask, user: str, trigger: str) -> None:
    if name == "cancel" and user != ask.user:
        bot.soon(bot.whisper(ask.channel, user, "Only who has asked can cancel.", ask.thread))
    elif name == "cancel":
        bot.cancel(ask.id)
    elif name == "deeper":
        bot.ask(deeper(ask, f"trigger:{trigger}", user, bot.settings.deeper))
    elif name == "bibtex":
        if bot.store.first_time(f"trigger:{trigger}"):
            bot.soon(_give_bibtex(bot, ask))
    elif name in ("helpful", "unhelpful"):
        bot.soon(_vote(bot, ask, user, helpful=name == "helpful"))
    elif name in ("reply_yes", "reply_no") and user == ask.user:
        bot.reply(ask, {value.partition(" ")[2]: name == "reply_yes"})


async def _show_evidence(bot: Bot, name: str, value: str, trigger: str, view: Payload) -> None:
    id, _, page = value.partition(" ")
    ask = bot.store.get(id)
    if ask is None:
        return
    shown = evidence_view(ask.evidence, id, int(page or 0))
    if name == "evidence":
        await bot.poster.call("views.open", trigger_id=trigger, view=shown)
    else:
        await bot.poster.call("views.update", view_id=str(view["id"]), view=shown)


async def _give_bibtex(bot: Bot, ask: Ask) -> None:
    await bot.upload(ask, "references.bib", await bot.desk.bibtex(ask))


async def _vote(bot: Bot, ask: Ask, user: str, *, helpful: bool) -> None:
    said = "You have said so before; it counts once."
    if bot.store.vote(ask.id, user, helpful):
        await bot.desk.rate(ask, helpful=helpful)
        said = "Thank you; passages that help readers are ranked higher from now on."
        if not helpful:
            said = "Thank you; these passages are ranked lower from now on."
    await bot.whisper(ask.channel, user, said, ask.thread)
