"""One run on its way: begun, resumed or played again, paused for a person, ended early."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from scholar.agents import publisher
from scholar.checkpoints import Checkpoints, shape
from scholar.context import Services, context_for
from scholar.errors import RunError, UsageError
from scholar.events import Event, FellBack, Finished, Noted, Paused, Started
from scholar.graph import Graph, row_of
from scholar.journal import RESUMABLE, Record
from scholar.observer import Observer
from scholar.state import Failure, Question, State
from scholar.values import Answer, Inquiry, Outcome

if TYPE_CHECKING:
    from scholar.spans import Telemetry

POLL = 0.3
"""Seconds between two looks at whether another process asks to end the run: it has a second."""


@dataclass
class Run:
    """One question on its way. Iterating over `events` drives it; the last one is `Finished`, or
    `Paused` where it waits for a person.

    `goes_on` says that it was begun before.
    """

    graph: Graph
    services: Services
    question: Question
    checkpoints: Checkpoints | None = None
    telemetry: Telemetry | None = None
    on_notice: Callable[[str], None] = lambda _: None
    goes_on: bool = False
    state: State = field(default_factory=State)
    notes: list[str] = field(default_factory=list)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _record: Record | None = None
    """Held so that all nodes share it."""
    _unread: str = ""
    """Why it could not go on from its last checkpoint, if so."""

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self.question["run_id"]

    @property
    def thread(self) -> str:
        """The id of the thread that the question belongs to."""
        return self.question.get("thread") or self.run_id

    def cancel(self) -> None:
        """End the run: what is under way is cancelled, and `events` ends with what was found."""
        self._stop.set()

    async def events(self) -> AsyncGenerator[Event, None]:
        """What happens, as it happens. Closing the generator cancels what is under way.

        Raises UsageError where the question cannot be asked, and RunError where another process
        works on the run.
        """
        journal = self.services.journal
        claim = await asyncio.to_thread(journal.claim, self.run_id, new=not self.goes_on)
        # The embedder loads while the planner's call is out.
        warming = asyncio.create_task(self.services.library.warm())
        try:
            self._record = await self._remembered()
            await self._enter()
            with self._observer() as observer:
                async with aclosing(self._driven()) as events:
                    async for event in events:
                        observer.see(event)
                        yield event
                last = await self._end()
                observer.see(last)
                yield last
        except UsageError:
            await journal.forget(self.run_id)
            raise
        finally:
            await asyncio.gather(warming, return_exceptions=True)
            await journal.settled()  # before anybody else may read what this run was told
            journal.let_go(self.run_id)
            claim.release()

    async def answer(self, on_event: Callable[[Event], None] = lambda _: None) -> Answer:
        """Its answer, once it is driven to its end; `on_event` gets each of its `events`.

        Raises as `events`, and RunError where it waits for a person.
        """
        answer: Answer | None = None
        async with aclosing(self.events()) as events:
            async for event in events:
                on_event(event)
                if isinstance(event, Finished):
                    answer = event.answer
        if answer is None:
            raise RunError(
                f"The run waits for a person; go on with scholar runs resume {self.run_id}."
            )
        return answer

    async def cancelled(self) -> Answer:
        """What a run that was cut short had found: its answer, with the outcome `cancelled`."""
        journal = self.services.journal
        record = self._record or await journal.record(self.run_id, self.services.clock)
        state: State = {
            **self.question,
            **self.state,
            "notes": list(dict.fromkeys([*self.state.get("notes", []), *self.notes])),
            "failure": Failure(Outcome.CANCELLED, self._cancelled_note()),
        }
        context = context_for(state, self.services, lambda _: None, record=record)
        answer = (await publisher.publish(state, context))["answer"]
        await journal.finish(answer, self.services.clock())
        return answer

    def _cancelled_note(self) -> str:
        if self.services.journal.lasts:
            return f"Cancelled; go on with scholar runs resume {self.run_id}."
        return "Cancelled; ask again to start over."

    def _observer(self) -> Observer:
        started = Started(
            self.run_id,
            self.question["question"],
            self.question.get("preset") or self.services.settings.preset,
            self.question.get("task", "answer"),
            self.question.get("thread", ""),
            self.goes_on,
        )
        return Observer(
            self.services.settings,
            started,
            self.telemetry,
            on_notice=self.on_notice,
            clock=self.services.clock,
        )

    async def _remembered(self) -> Record:
        journal, clock = self.services.journal, self.services.clock
        if self.goes_on:
            return await journal.record(self.run_id, clock, anew=True)
        return journal.new_record(self.run_id, clock)

    async def _enter(self) -> None:
        journal = self.services.journal
        if self.goes_on:
            await journal.go_on(self.run_id, shape())
        else:
            await journal.begin(row_of(self.question, self.run_id, self.services))

    async def _driven(self) -> AsyncGenerator[Event, None]:
        given, config = await self._place()
        if self._unread:
            yield Noted(self._unread)
        parts: Any = self.graph.astream(
            given, config, context=self.services, stream_mode=["custom", "values"]
        )
        async with aclosing(self._until_stopped(parts)) as watched:
            async for mode, data in watched:
                if mode == "values":
                    self.state = cast(State, data)
                    continue
                if isinstance(data, FellBack | Noted):
                    self.notes.append(data.note)
                yield data

    async def _until_stopped(self, parts: Any) -> AsyncGenerator[Any, None]:
        """What comes of `parts`, until somebody asks to end the run, here or in the journal."""
        stop = asyncio.create_task(self._stop.wait())
        coming = None
        try:
            while not self._stop.is_set():
                coming = coming or asyncio.ensure_future(anext(parts, None))
                await asyncio.wait(
                    {coming, stop}, timeout=POLL, return_when=asyncio.FIRST_COMPLETED
                )
                if coming.done():
                    part, coming = coming.result(), None
                    if part is None:
                        return
                    yield part
                elif not stop.done() and await self.services.journal.is_to_end(self.run_id):
                    self._stop.set()
        finally:
            for task in (stop, coming):
                if task is not None:
                    task.cancel()
                    with suppress(asyncio.CancelledError, StopAsyncIteration):
                        await task
            await parts.aclose()

    async def _end(self) -> Event:
        if self._stop.is_set():
            return Finished(await self.cancelled())
        if "answer" not in self.state:
            return await self._paused()
        answer = self.state["answer"]
        if self.checkpoints is not None and answer.outcome not in RESUMABLE:
            await self.checkpoints.adelete_thread(self.run_id)
        return Finished(answer)

    async def _paused(self) -> Paused:
        snapshot = await self.graph.aget_state(self._config)
        waits = tuple((one.id, cast(Inquiry, one.value)) for one in snapshot.interrupts)
        await self.services.journal.wait(self.run_id, waits)
        return Paused(waits)

    @property
    def _config(self) -> Any:
        return {"configurable": {"thread_id": self.run_id}}

    async def _place(self) -> tuple[Question | None, Any]:
        """What the graph is given, and from which checkpoint: the last one without a failure.

        Where that cannot be read, the run starts over: what it was told costs nothing.
        """
        if not self.goes_on or self.checkpoints is None:
            return self.question, self._config
        try:
            latest = await self.graph.aget_state(self._config)
            if _goes_on(latest):
                return None, self._config
            async for snapshot in self.graph.aget_state_history(self._config):
                if _goes_on(snapshot):
                    return None, snapshot.config
        except RunError as error:
            self._unread = str(error)
        await self.checkpoints.adelete_thread(self.run_id)
        return self.question, self._config


def _goes_on(snapshot: Any) -> bool:
    return bool(snapshot.next) and not snapshot.values.get("failure")
