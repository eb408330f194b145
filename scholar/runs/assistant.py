"""The assistant from Python: ask, resume, play again, look after runs."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from os import PathLike, fspath
from typing import Any, Self, cast

from scholar import settings as settings_module
from scholar.agents import ideas as generator
from scholar.agents import outliner
from scholar.checkpoints import Checkpoints
from scholar.context import Consult, Services, reply_key
from scholar.errors import ReplayDiffers, RunError, UsageError
from scholar.estimate import Estimate, estimate
from scholar.graph import Graph, build_graph, build_services
from scholar.journal import Journal
from scholar.library import Library
from scholar.library.ingest import Result, expand, ingest
from scholar.runs.archive import Runs
from scholar.runs.run import Run
from scholar.settings import Settings
from scholar.state import Question
from scholar.telemetry import open_telemetry
from scholar.text import encodable
from scholar.values import Answer, Idea, Outcome


class Scholar:
    """The assistant from Python: one library, one set of models, any number of questions.

    Without arguments everything comes from the settings. `consult` is asked before a tool runs
    that may not without. Use it as an async context manager, or call `aclose` when done. Raises
    SettingsError or LibraryError on opening.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        services: Services | None = None,
        on_notice: Callable[[str], None] = lambda _: None,
        consult: Consult | None = None,
    ) -> None:
        if services is None:
            settings = settings or settings_module.load()
            services = build_services(settings, on_notice=on_notice, consult=consult)
        self.services = services
        kept = services.settings if services.journal.lasts else None
        self._checkpoints = Checkpoints(kept, on_notice)
        self._telemetry = open_telemetry(services.settings, on_notice)
        self._on_notice = on_notice
        self.runs = Runs(services.journal, self._checkpoints, services.settings.home)
        self._graph = build_graph(self.services, checkpointer=self._checkpoints)

    def over(self, library: Library, **settings: Any) -> Self:
        """The same assistant over another library and with other `settings`.

        Only one of them is to be closed.
        """
        changed = self.services.settings.model_copy(update=settings)
        other = copy.copy(self)
        other.services = replace(self.services, library=library, settings=changed)
        return other

    @cached_property
    def graph(self) -> Graph:
        """The graph itself, for those who invoke it without a thread."""
        return build_graph(self.services)

    async def add(self, *sources: str | PathLike[str]) -> list[Result]:
        """Add files, folders, bibliographies or arXiv ids; one result each, nothing raised."""
        settings = self.services.settings
        names = [fspath(source) for source in sources]
        items = await expand(self.services.library, names, settings)
        return [result async for result in ingest(self.services.library, items, settings)]

    async def ask(
        self, question: str, *, preset: str | None = None, k: int | None = None
    ) -> Answer:
        """Answer `question` from the library. `k` is the passages read per step of the plan.

        A run that fails is an answer too: look at its `outcome` and `notes`. Raises UsageError
        where the question or the preset cannot be used.
        """
        return await self.start(question, preset=preset, k=k).answer()

    async def review(
        self,
        topic: str,
        *,
        columns: Sequence[str] = (),
        sections: int | None = None,
        preset: str | None = None,
        k: int | None = None,
    ) -> Answer:
        """Review what the library says on `topic`: sections, and a table of the papers.

        The answer's sentences are the summary, and its `review` the rest. `columns` are those of
        the table, of the model's choice where none is named; there are at most `sections` sections.
        Without `preset` it is the one that is set, where one is and it can review, else `review`.
        Raises UsageError where any of these cannot be used.
        """
        run = self.start_review(topic, columns=columns, sections=sections, preset=preset, k=k)
        return await run.answer()

    def estimate(
        self, question: str, *, preset: str | None = None, k: int | None = None
    ) -> Estimate:
        """What `ask` would be likely to take, as ranges; nothing is called."""
        settings = self.services.settings
        return estimate(question, settings.preset_named(preset), settings, k)

    def start(
        self,
        question: str,
        *,
        preset: str | None = None,
        k: int | None = None,
        thread: str | None = None,
        person: bool = False,
        review_plan: bool = False,
    ) -> Run:
        """A run that has not begun; iterate over its `events` to drive it.

        With `person` it pauses where a person has to be asked and `consult` was not given, and with
        `review_plan` it has its plan approved. Raises SettingsError for an unknown preset.
        """
        asked = Question(
            # Bytes of a command line that are no text arrive as half characters.
            question=encodable(question),
            preset=preset or self.services.settings.preset,
            run_id=self.services.new_id(),
            person=person,
            review_plan=review_plan,
        )
        if thread is not None:
            asked["thread"] = thread
        self.services.settings.preset_named(asked["preset"])
        if k is not None:
            asked["k"] = k
        return self._run(asked)

    async def resume(self, run_id: str, *, replies: Mapping[str, Any] | None = None) -> Run:
        """The run whose id is or begins with `run_id`, to go on where it was.

        `replies` are those to what it asked a person, by the id of the inquiry. No call that was
        answered is made again. Raises RunError where there is no such run or it has ended for good.
        """
        row = await self.runs.find(run_id)
        if not row.goes_on:
            state = "is under way" if row.status == "running" else "has ended"
            raise RunError(f"The run {row.run_id} {state}; see scholar runs show {row.run_id}.")
        for id, inquiry in row.waits:
            if replies and id in replies:
                text = json.dumps(replies[id])
                await self.services.journal.keep(row.run_id, reply_key(inquiry), text, row.seconds)
        asked = cast(Question, {**row.asked, "run_id": row.run_id})
        return self._run(asked, goes_on=True)

    async def replay(self, run_id: str) -> Answer:
        """The answer that a finished run gave, made again from what it was told, without a model.

        Raises ReplayDiffers with the node at which this version of scholar, or the library, makes
        something else of it, and RunError where there is nothing to play again.
        """
        row = await self.runs.find(run_id)
        published = await self.runs.answer(row.run_id)
        if published is None or published.outcome is Outcome.CANCELLED:
            raise RunError(
                f"The run {row.run_id} was not played to its end, so it cannot be played again; "
                f"go on with scholar runs resume {row.run_id}."
            )
        record = await self.services.journal.to_replay(row.run_id, self.services.clock)
        services = replace(self.services, journal=Journal.of_one(record), consult=None)
        asked = cast(Question, {**row.asked, "run_id": row.run_id})
        try:
            ended = await build_graph(services).ainvoke(asked, context=services)
        except ReplayDiffers as error:
            raise ReplayDiffers(
                f"Played again, the run {row.run_id} differs at {error.node}: {error}. Prompts, "
                "settings or papers are others now; ask anew for an answer of today.",
                error.node,
            ) from None
        answer: Answer = ended["answer"]
        if answer != published:
            raise RunError(
                f"Played again, the run {row.run_id} ends in another answer, though each node "
                "made the same; what is kept of it has been changed. Ask anew."
            )
        return answer

    def _run(self, asked: Question, *, goes_on: bool = False) -> Run:
        return Run(
            self._graph,
            self.services,
            asked,
            self._checkpoints,
            self._telemetry,
            self._on_notice,
            goes_on,
        )

    def start_review(
        self,
        topic: str,
        *,
        columns: Sequence[str] = (),
        sections: int | None = None,
        preset: str | None = None,
        k: int | None = None,
        person: bool = False,
    ) -> Run:
        """The run of a review that has not begun, as `start`; raises UsageError as `review`."""
        chosen = preset or self.services.settings.review_preset()
        run = self.start(topic, preset=chosen, k=k, person=person)
        if len(columns) > outliner.MOST_COLUMNS:
            raise UsageError(
                f"A table has at most {outliner.MOST_COLUMNS} columns, and {len(columns)} are "
                "named; leave some out."
            )
        if sections is not None and not 1 <= sections <= outliner.MOST_SECTIONS:
            raise UsageError(
                f"A review cannot have {sections} sections; "
                f"give a number from 1 to {outliner.MOST_SECTIONS}."
            )
        wanted = Question(
            task="review", columns=list(columns), sections=sections or outliner.SECTIONS
        )
        run.question.update(wanted)
        return run

    async def ideas(
        self,
        topic: str,
        *,
        wanted: int = generator.IDEAS,
        new: int = 0,
        interactive: bool = False,
        preset: str | None = None,
    ) -> Answer:
        """Propose `wanted` research ideas on `topic`: they are the answer's `ideas`.

        With `new`, so many that no prior work has, as far as that was searched: known ones are
        replaced. `interactive` asks the person at hand what becomes of them before they are ranked.
        Raises UsageError where any of these cannot be used.
        """
        run = self.start_ideas(
            topic, wanted=wanted, new=new, interactive=interactive, preset=preset
        )
        return await run.answer()

    def start_ideas(
        self,
        topic: str,
        *,
        wanted: int = generator.IDEAS,
        new: int = 0,
        interactive: bool = False,
        preset: str | None = None,
        thread: str | None = None,
        person: bool = False,
    ) -> Run:
        """The run of `ideas` that has not begun, as `start`; raises UsageError as `ideas`."""
        run = self.start(topic, preset=preset, thread=thread, person=person)
        if not 1 <= (new or wanted) <= generator.MOST_IDEAS:
            raise UsageError(
                f"A run cannot propose {new or wanted} ideas; "
                f"give a number from 1 to {generator.MOST_IDEAS}."
            )
        run.question.update(Question(task="ideas", wanted=wanted, new=new, interactive=interactive))
        return run

    def start_proposal(
        self, topic: str, idea: Idea, *, preset: str | None = None, person: bool = False
    ) -> Run:
        """A run that works `idea`, proposed on `topic`, out into a proposal of two pages.

        The parts are the answer's `proposal`.
        """
        run = self.start(topic, preset=preset, person=person)
        run.question.update(Question(task="proposal", idea=idea))
        return run

    async def aclose(self) -> None:
        """Let go of connections and files."""
        await self._checkpoints.aclose()
        if self._telemetry is not None:
            await asyncio.to_thread(self._telemetry.close)
        await self.services.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
