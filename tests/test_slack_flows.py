"""What people do in Slack, end to end, at both doors, with the real graph and a loopback model."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from inventive import inventive
from minds import Seen, but, honest
from model_server import Stall
from slack_lab import QUESTION, Door, Lab, listening, opened
from slack_server import TEAM, Slack, buttons_of, text_of

from scholar.events import Event, Finished, Paused
from scholar.library import Library
from scholar.runs import Scholar
from scholar.settings import Allowance, Settings
from scholar.slack import blocks, desk
from scholar.slack.store import Ask, Store
from scholar.values import Answer, Inquiry, Outcome

PRIVATE = b"""---
title: "Zebrafish of the secret laboratory"
authors: ["Ada Lovelace"]
year: 2026
---
The unpublished zebrafish of our laboratory glow in the dark when they hear music by Bach.
"""
SECRET_QUESTION = "What do the zebrafish of our laboratory do when they hear music by Bach?"


@pytest.fixture(params=["socket", "http"])
async def lab(
    request: pytest.FixtureRequest, slack: Slack, notes: Library, settings: Settings
) -> AsyncIterator[Lab]:
    door: Door = request.param
    async with opened(slack, notes, settings, door=door) as running:
        yield running


async def test_a_mention_is_answered_in_its_thread_with_quotes_and_buttons(lab: Lab) -> None:
    asked = await lab.do(lab.slack.ask, QUESTION)
    [answer] = await lab.answered()
    assert answer["thread_ts"] == asked
    shown = text_of(answer)
    assert "Dense retrieval scores each passage alone" in shown
    assert "[1]" in shown
    assert "From RAG to Memory" in shown
    assert buttons_of(answer) == ["deeper", "evidence", "bibtex", "helpful", "unhelpful"]
    assert len(lab.slack.said()) == 1


async def test_a_follow_up_in_its_thread_needs_no_mention(lab: Lab) -> None:
    asked = (await lab.ask())["thread_ts"]
    await lab.do(lab.slack.say, "And what does it cost?", thread=asked)
    answers = await lab.answered(2)
    assert [answer["thread_ts"] for answer in answers] == [asked, asked]


async def test_what_is_said_to_others_or_elsewhere_is_left_alone(lab: Lab) -> None:
    asked = (await lab.ask())["thread_ts"]
    await lab.do(lab.slack.say, "<@U0BOB> what do you think of this?", thread=asked)
    await lab.do(lab.slack.say, "Who brings the cake tomorrow morning?")
    await lab.do(lab.slack.say, "I am a bot too, am I not?", thread=asked, bot_id="B9")
    await lab.bot.idle()
    assert len(lab.slack.said()) == 1


async def test_a_follow_up_is_known_after_a_restart(
    slack: Slack, notes: Library, settings: Settings
) -> None:
    async with opened(slack, notes, settings) as lab:
        asked = (await lab.ask())["thread_ts"]
    async with opened(slack, notes, settings) as lab:
        await lab.do(slack.say, "And what does it cost?", thread=asked)
        assert len(await lab.answered(2)) == 2


async def test_a_direct_message_is_answered_with_a_title_and_a_status(lab: Lab) -> None:
    asked = await lab.do(lab.slack.say, QUESTION, channel="D0ANN")
    [answer] = await lab.answered(channel="D0ANN")
    assert answer["thread_ts"] == asked
    [title] = lab.slack.called("assistant.threads.setTitle")
    assert title.args["title"] == QUESTION
    assert lab.slack.called("assistant.threads.setStatus")


async def test_the_assistant_pane_greets_once_and_suggests_what_to_ask(lab: Lab) -> None:
    thread = {"channel_id": "D0ANN", "thread_ts": "1.1", "user_id": "U0ANN", "context": {}}
    event = {"type": "assistant_thread_started", "assistant_thread": thread, "event_ts": "1.2"}
    for _ in range(2):
        await lab.do(lab.slack.deliver_event, event)
    await lab.bot.idle()
    [prompts] = lab.slack.called("assistant.threads.setSuggestedPrompts")
    assert prompts.args["thread_ts"] == "1.1"
    assert len(lab.slack.said("D0ANN")) == 1


async def test_the_command_asks_in_a_thread_of_its_own(lab: Lab) -> None:
    delivered = await lab.do(lab.slack.command, f"ask {QUESTION}")
    assert delivered.seconds < 3
    [answer] = await lab.answered()
    [root, _] = lab.slack.said()
    assert answer["thread_ts"] == root["ts"]
    assert text_of(root) == f"@U0ANN asks: {QUESTION}"


async def test_the_command_lists_papers_to_who_asks_alone(lab: Lab) -> None:
    await lab.do(lab.slack.command, "papers personalised PageRank")
    await lab.bot.idle()
    [whisper] = lab.slack.whispers
    assert whisper["user"] == "U0ANN"
    assert "From RAG to Memory" in text_of(whisper)
    assert lab.slack.said() == []


async def test_the_command_helps(lab: Lab) -> None:
    for text in ("help", "", "nonsense"):
        delivered = await lab.do(lab.slack.command, text)
        assert "/scholar" in delivered.body


async def test_the_command_adds_no_file_of_the_machine_it_runs_on(lab: Lab, tmp_path: Path) -> None:
    secret = tmp_path / "secret.md"
    secret.write_text("The password of the machine is swordfish, as everybody knows here.")
    await lab.do(lab.slack.command, f"add {secret}")
    await lab.bot.idle()
    [whisper] = lab.slack.whispers
    assert "It is no arXiv id" in text_of(whisper)


@pytest.fixture
def library_alone(settings: Settings) -> Settings:
    """Settings by which nothing is looked for at arXiv, which is out of reach here."""
    tools = settings.tools.model_copy(update={"off": ("search_arxiv",)})
    return settings.model_copy(update={"tools": tools})


async def test_ideas_come_with_their_verdict_and_the_nearest_prior_work(
    slack: Slack, notes: Library, library_alone: Settings
) -> None:
    async with opened(slack, notes, library_alone, mind=inventive) as lab:
        await lab.do(slack.command, "ideas How could graph walks rank passages?")
        await lab.answered()
        told = "\n".join(text_of(message) for message in slack.said())
        assert re.search(r"^1\. .+  new$", told, re.MULTILINE)
        assert re.search(r"“[^”]+”.* \[\d+\]", told)


async def test_digging_deeper_for_ideas_asks_for_them_again_with_the_deeper_preset(
    slack: Slack, notes: Library, library_alone: Settings
) -> None:
    async with opened(slack, notes, library_alone, mind=inventive) as lab:
        await lab.do(slack.command, "ideas How could graph walks rank passages?")
        [answer] = await lab.answered()
        await lab.do(slack.press, answer, "deeper")
        again = (await lab.answered(2))[1]
        [ask] = lab.bot.store.of_message("C0GENERAL", again["ts"])
        run = await lab.bot.desk.scholar.runs.find(ask.run)
    assert (run.asked["task"], run.asked["preset"]) == ("ideas", "deep")


async def test_evidence_is_found_for_a_message_from_its_menu(lab: Lab) -> None:
    said = "HippoRAG 2 uses &lt;personalised&gt; PageRank <https://x.example|there>."
    ts = await lab.do(lab.slack.say, said)
    await lab.do(lab.slack.shortcut, lab.slack.messages["C0GENERAL"][0])
    [answer] = await lab.answered()
    assert answer["thread_ts"] == ts
    asked = lab.bot.store.of_message("C0GENERAL", answer["ts"])[0].question
    assert asked.endswith("HippoRAG 2 uses <personalised> PageRank https://x.example.")


async def test_evidence_opens_with_quotes_pages_and_links(lab: Lab) -> None:
    answer = await lab.ask()
    await lab.do(lab.slack.press, answer, "evidence")
    await lab.bot.idle()
    [view] = lab.slack.views.values()
    assert "“Problem Dense retrieval scores each passage alone" in text_of(view)
    assert "https://arxiv.org/abs/2502.14802" in json.dumps(view)


async def test_much_evidence_is_paged_through_where_it_was_opened(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "MODAL_BLOCKS", 1)
    answer = await lab.ask()
    await lab.do(lab.slack.press, answer, "evidence")
    await lab.bot.idle()
    [(id, first)] = lab.slack.views.items()
    assert buttons_of(first) == ["evidence_more"]
    for button in ("evidence_more", "evidence_back"):
        await lab.do(lab.slack.press_in_view, id, button)
        await lab.bot.idle()
        assert len(lab.slack.views) == 1
        assert ("“Problem Dense" in text_of(lab.slack.views[id])) == (button == "evidence_more")
    assert lab.slack.views[id] == first


async def test_the_bibliography_comes_as_a_file(lab: Lab) -> None:
    answer = await lab.ask()
    await lab.do(lab.slack.press, answer, "bibtex")
    await lab.bot.idle()
    [file] = lab.slack.files.values()
    assert file["name"] == "references.bib"
    assert b"From RAG to Memory" in lab.slack.contents[file["id"]]
    assert lab.slack.said()[-1]["thread_ts"] == answer["thread_ts"]


async def test_digging_deeper_asks_again_with_the_deeper_preset(lab: Lab) -> None:
    answer = await lab.ask()
    before = len(lab.model.requests)
    await lab.do(lab.slack.press, answer, "deeper")
    answers = await lab.answered(2)
    assert answers[1]["thread_ts"] == answer["thread_ts"]
    assert lab.bot.store.of_message("C0GENERAL", answers[1]["ts"])[0].preset == "deep"
    assert len(lab.model.requests) - before > before  # deep takes more calls than fast


async def test_what_readers_say_is_kept_in_the_catalogue_once_each(
    lab: Lab, notes: Library
) -> None:
    answer = await lab.ask()
    for user in ("U0ANN", "U0ANN", "U0BOB"):
        await lab.do(lab.slack.press, answer, "helpful", user=user)
        await lab.bot.idle()
    ask = lab.bot.store.of_message("C0GENERAL", answer["ts"])[0]
    passage = ask.evidence[0]["quotes"][0]["passage"]
    assert notes._store.feedback.standing([passage]) == {passage: 2}
    assert ["counts once" in w["text"] for w in lab.slack.whispers] == [False, True, False]


async def test_a_dropped_file_is_offered_and_added(lab: Lab, notes: Library) -> None:
    asked = (await lab.ask())["thread_ts"]
    file = lab.slack.share("zebrafish.md", PRIVATE)
    await lab.do(lab.slack.say, "", thread=asked, files=[file])
    [_, offer] = await lab.until(lambda: lab.slack.said()[1:] and lab.slack.said())
    assert "zebrafish.md" in text_of(offer)
    await lab.do(lab.slack.press, offer, "add_shared")
    await lab.bot.idle()
    assert text_of(offer).startswith("Added  Lovelace 2026, Zebrafish")
    assert [p.title for p in await notes.papers() if "Zebrafish" in p.title]
    assert len(lab.answers()) == 1  # it was no question


async def test_a_link_to_arxiv_is_offered_and_nothing_added_unasked(
    lab: Lab, notes: Library
) -> None:
    asked = (await lab.ask())["thread_ts"]
    before = await notes.papers()
    await lab.do(lab.slack.say, "<https://arxiv.org/abs/2405.14831v2>", thread=asked)
    [_, offer] = await lab.until(lambda: lab.slack.said()[1:] and lab.slack.said())
    assert "arxiv:2405.14831v2" in text_of(offer)
    await lab.do(lab.slack.press, offer, "add_nothing")
    await lab.bot.idle()
    assert text_of(offer) == "Not added."
    assert await notes.papers() == before


async def test_a_file_of_a_direct_message_answers_nobody_else(lab: Lab, notes: Library) -> None:
    await _added(lab, "add_private")
    assert [paper.title for paper in await notes.papers() if "Zebrafish" in paper.title] == []
    await lab.do(lab.slack.say, SECRET_QUESTION, channel="D0ANN")
    [own] = await lab.answered(channel="D0ANN")
    assert "zebrafish of our laboratory glow" in text_of(own)
    lab.slack.join("D0BOB", "U0BOB")
    await lab.do(lab.slack.ask, SECRET_QUESTION)
    await lab.do(lab.slack.say, SECRET_QUESTION, channel="D0BOB", user="U0BOB")
    await lab.do(lab.slack.command, "papers zebrafish")
    others = [*await lab.answered(), *await lab.answered(channel="D0BOB")]
    assert len(others) == 2
    seen = json.dumps([others, lab.slack.whispers, lab.slack.messages["C0GENERAL"]])
    assert "glow" not in seen
    assert "secret laboratory" not in seen


async def test_a_private_file_is_shared_only_when_its_owner_says_so(
    lab: Lab, notes: Library
) -> None:
    offer = await _added(lab, "add_private")
    await lab.do(lab.slack.press, offer, "add_shared", channel="D0ANN")
    await lab.bot.idle()
    assert [paper.title for paper in await notes.papers() if "Zebrafish" in paper.title]
    await lab.do(lab.slack.ask, SECRET_QUESTION)
    [answer] = await lab.answered()
    assert "glow" in text_of(answer)


async def test_ideas_in_a_direct_message_draw_on_the_askers_own_files_too(
    slack: Slack, notes: Library, library_alone: Settings
) -> None:
    async with opened(slack, notes, library_alone, mind=inventive) as lab:
        await _added(lab, "add_private")
        await lab.do(slack.command, f"ideas {SECRET_QUESTION}", channel="D0ANN")
        [answer] = await lab.answered(channel="D0ANN")
    assert "Zebrafish of the secret laboratory" in text_of(answer)
    assert "arXiv:" in text_of(answer)


async def test_what_a_private_question_teaches_is_kept_for_its_asker_alone(
    slack: Slack, notes: Library, settings: Settings
) -> None:
    settings = settings.model_copy(update={"lessons": True})
    async with opened(slack, notes, settings) as lab:
        await _added(lab, "add_private")
        await lab.do(slack.say, SECRET_QUESTION, channel="D0ANN")
        [answer] = await lab.answered(channel="D0ANN")
        assert "glow" in text_of(answer)
        async with lab.bot.desk.shelves.both(TEAM, "U0ANN") as library:
            [lesson] = await library.lessons(SECRET_QUESTION, 3)
        assert lesson.question == SECRET_QUESTION
        assert await notes.lessons(SECRET_QUESTION, 3) == []


async def test_a_private_question_of_a_user_without_files_teaches_nobody(
    slack: Slack, notes: Library, settings: Settings
) -> None:
    settings = settings.model_copy(update={"lessons": True})
    async with opened(slack, notes, settings) as lab:
        await lab.do(slack.say, QUESTION, channel="D0ANN")
        await lab.answered(channel="D0ANN")
        assert await notes.lessons(QUESTION, 3) == []
        await lab.ask()
        [lesson] = await notes.lessons(QUESTION, 3)
        assert lesson.question == QUESTION


async def _added(lab: Lab, action: str) -> dict[str, Any]:
    """The message in which it is said that a file of a direct message was added."""
    file = lab.slack.share("zebrafish.md", PRIVATE)
    await lab.do(lab.slack.say, "", channel="D0ANN", files=[file])
    [offer] = await lab.until(lambda: lab.slack.said("D0ANN"))
    assert buttons_of(offer) == ["add_private", "add_shared", "add_nothing"]
    await lab.do(lab.slack.press, offer, action, channel="D0ANN")
    await lab.bot.idle()
    assert text_of(offer).startswith("Added")
    return offer


async def test_cancelling_ends_the_run_in_its_own_message(
    slack: Slack, notes: Library, settings: Settings
) -> None:
    stuck = but(answer=lambda _: Stall(), writer=lambda _: Stall())
    async with opened(slack, notes, settings, mind=stuck) as lab:
        message = await lab.stuck()
        await lab.do(slack.press, message, "cancel", user="U0BOB")
        await lab.until(lambda: slack.whispers)
        assert "Only who has asked" in slack.whispers[0]["text"]
        await lab.do(slack.press, message, "cancel")
        [answer] = await lab.answered()
        assert text_of(answer).startswith("Cancelled.")
        assert len(slack.said()) == 1


async def test_a_stream_shows_the_work_and_then_the_answer(
    slack: Slack, notes: Library, settings: Settings
) -> None:
    async with opened(slack, notes, settings) as lab:
        answer = await lab.ask()
    tasks = {chunk["id"] for chunk in answer["chunks"] if chunk["type"] == "task_update"}
    assert {"plan", "search", "write"} <= tasks
    streamed = [chunk["blocks"] for chunk in answer["chunks"] if chunk["type"] == "blocks"]
    assert "Dense retrieval scores" in json.dumps(streamed)
    assert answer["streaming"] is False
    assert slack.called("chat.postMessage") == []
    assert "cancel" not in buttons_of(answer)


async def test_without_streaming_one_message_is_edited_no_faster_than_the_pace(
    notes: Library, settings: Settings
) -> None:
    from scholar.slack.post import Pace

    pace = Pace(post=0.0, edit=0.3, first=0.05)
    with Slack(streams=False) as slack:
        async with opened(slack, notes, settings, pace=pace) as lab:
            await lab.ask()
            await lab.do(slack.ask, QUESTION)
            await lab.answered(2)
        starts = [call for call in slack.calls if call.method == "chat.startStream"]
        assert len(starts) == 1  # the workspace is not asked again
        assert len(slack.said()) == 2
        for message in slack.said():
            edits = [c.at for c in slack.called("chat.update") if c.args["ts"] == message["ts"]]
            # The last edit is the answer, which need not wait.
            assert all(b - a > 0.25 for a, b in pairwise(edits[:-1]))


async def test_a_question_that_waits_says_which_number_it_has(
    slack: Slack, notes: Library, settings: Settings
) -> None:
    held = {"on": True}

    def mind(seen: Seen) -> Any:
        return Stall() if held["on"] and seen.call in ("answer", "writer") else honest(seen)

    async with opened(slack, notes, settings, mind=mind, concurrent=1) as lab:
        first = await lab.do(slack.ask, QUESTION)
        await lab.until(lambda: slack.said())
        await lab.do(slack.ask, "What is GenRead?")
        await lab.do(slack.ask, "What is KAG?")
        waiting = await lab.until(lambda: len(slack.said()) == 3 and slack.said()[1:])
        heads = [text_of(message).splitlines()[0] for message in waiting]
        assert heads == [f"Waiting, number {n} in the queue …" for n in (1, 2)]
        held["on"] = False
        [running] = [m for m in slack.said() if m["thread_ts"] == first]
        await lab.do(slack.press, running, "cancel")
        assert len(await lab.answered(3)) == 3


async def test_a_model_that_fails_is_told_in_words_in_the_same_message(
    slack: Slack, notes: Library, settings: Settings
) -> None:
    from model_server import Status

    async with opened(slack, notes, settings, mind=lambda _: Status(401, {"error": {}})) as lab:
        answer = await lab.ask()
    assert text_of(answer).startswith("The model gave no usable reply.")
    assert len(slack.said()) == 1


async def test_without_a_model_the_quotes_are_shown(
    slack: Slack, notes: Library, settings: Settings
) -> None:
    async with opened(slack, notes, settings, mind=None) as lab:
        answer = await lab.ask()
    assert text_of(answer).startswith("> “")


async def test_an_answer_too_long_for_messages_comes_whole_as_a_file(
    slack: Slack, notes: Library, settings: Settings
) -> None:
    async with opened(slack, notes, settings, mind=None) as lab:
        lowest = blocks.MOST_MESSAGES
        blocks.MOST_MESSAGES = 0
        try:
            answer = await lab.ask()
        finally:
            blocks.MOST_MESSAGES = lowest
    [file] = slack.files.values()
    assert file["name"] == "answer.md"
    assert "in answer.md below" in text_of(answer)
    assert b"## References" in slack.contents[file["id"]]


async def test_another_process_goes_on_with_what_a_dead_one_left(
    slack: Slack, notes: Library, settings: Settings
) -> None:
    async with opened(slack, notes, settings) as lab:
        lab.bot._watch and lab.bot._watch.cancel()
        lab.bot.watch_every = 0.05
        watching = asyncio.create_task(lab.bot._watch_over())
        dead = Store(settings.home)
        dead.take(
            Ask("message:C0GENERAL:1.0", TEAM, "C0GENERAL", "1.0", "U0ANN", QUESTION),
            Allowance(), Allowance(),
        )  # fmt: skip
        dead.close()
        [answer] = await lab.answered()
        assert answer["thread_ts"] == "1.0"
        watching.cancel()


async def test_a_follow_up_is_asked_in_the_context_of_its_thread(lab: Lab) -> None:
    asked = (await lab.ask())["thread_ts"]
    before = len(lab.model.requests)
    await lab.do(lab.slack.say, "And what does it cost?", thread=asked)
    await lab.answered(2)
    assert QUESTION in json.dumps([request.body for request in lab.model.requests[before:]])


class _Asking:
    """A run that asks a person before it ends, as those of the graph do."""

    run_id = "run"

    def __init__(self, replies: Mapping[str, Any] | None) -> None:
        self._replies = replies

    async def events(self) -> AsyncIterator[Event]:
        if self._replies is None:
            inquiry = Inquiry("tool", "May the tool lab.read run <!channel>?")
            yield Paused((("i1", inquiry),))
        else:
            said = f"It was said: {self._replies}"
            yield Finished(Answer("run", "?", Outcome.NO_EVIDENCE, notes=(said,)))


@pytest.mark.parametrize(("button", "reply"), [("reply_yes", True), ("reply_no", False)])
async def test_a_run_that_asks_a_person_goes_on_with_what_they_press(
    button: str, reply: bool, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run_of(scholar: Scholar, ask: Ask) -> _Asking:
        return _Asking(ask.replies)

    monkeypatch.setattr(desk, "_run_of", run_of)
    await lab.do(lab.slack.ask, QUESTION)
    message = await lab.until(lambda: next((m for m in lab.slack.said() if button in str(m)), None))
    await lab.bot.idle()
    await lab.do(lab.slack.press, message, button, user="U0BOB")
    await lab.bot.idle()
    assert button in str(message)  # only who has asked may say
    await lab.do(lab.slack.press, message, button)
    [answer] = await lab.answered()
    assert answer["ts"] == message["ts"]
    assert f"It was said: {{'i1': {reply}}}" in text_of(answer)


async def test_one_bot_goes_on_listening_at_another_door(
    slack: Slack, notes: Library, settings: Settings
) -> None:
    async with opened(slack, notes, settings) as lab:
        known = lab.bot.desk.settings
        async with listening(slack, lab.bot, known, "http"):
            await lab.ask()
