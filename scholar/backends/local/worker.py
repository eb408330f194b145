"""A thread that serves requests beside the event loop, whichever loop they come from."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from scholar.errors import ModelError, ModelUnavailable


class Service(Protocol):
    """What the thread works at between requests."""

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        ...

    def turn(self) -> None:
        """Do a little of it."""
        ...

    def fail_all(self, error: ModelError) -> None:
        """Give up what is under way."""
        ...


S = TypeVar("S", bound=Service)
S_contra = TypeVar("S_contra", contravariant=True)


class Task(Protocol[S_contra]):
    """A request to the service. Both are called in the thread."""

    def start(self, service: S_contra, /) -> None:
        """Hand it in; a ModelError is what comes of it."""
        ...

    def fail(self, error: ModelError, /) -> None:
        """It comes to nothing."""
        ...


class Worker(Generic[S]):
    """Serves tasks in a thread of its own, which begins with the first and ends by `close`.

    `load` makes the service, in the thread. Where it raises a ModelError, all tasks that wait fail
    with it, and the next one tries again.
    """

    def __init__(self, name: str, load: Callable[[], S]) -> None:
        self._name = name
        self._load = load
        self._tasks: deque[Task[S]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None

    def submit(self, task: Task[S]) -> None:
        """Have `task` served after those before it."""
        with self._changed:
            if self._closing:
                task.fail(self._closed())
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._tasks.append(task)
            self._changed.notify()

    def stop(self) -> None:
        """Fail what is under way and end the thread, without waiting for it."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def close(self) -> None:
        """`stop`, and wait for the thread's end."""
        self.stop()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        service: S | None = None
        while True:
            tasks = self._wait(service)
            if self._closing:
                self._fail(tasks, service, self._closed())
                return
            try:
                service = service or self._load()
                self._start(tasks, service)
                service.turn()
            except ModelError as error:
                self._fail(tasks, service, error)
            except Exception as error:  # the thread's edge: nobody may wait for ever
                line = (str(error) or type(error).__name__).splitlines()[0]
                failure = ModelUnavailable(f"{self._name} broke down ({line[:200]}); try again.")
                self._fail(tasks, service, failure)

    def _wait(self, service: S | None) -> list[Task[S]]:
        with self._changed:
            self._changed.wait_for(
                lambda: self._closing or self._tasks or not (service is None or service.is_idle)
            )
            tasks = list(self._tasks)
            self._tasks.clear()
            return tasks

    def _start(self, tasks: list[Task[S]], service: S) -> None:
        while tasks:
            task = tasks.pop(0)
            try:
                task.start(service)
            except ModelError as error:
                task.fail(error)
            except Exception:
                tasks.insert(0, task)  # so that it fails with the others
                raise

    def _fail(self, tasks: list[Task[S]], service: S | None, error: ModelError) -> None:
        if service is not None:
            service.fail_all(error)
        for task in tasks:
            task.fail(error)

    def _closed(self) -> ModelUnavailable:
        return ModelUnavailable(f"{self._name} was closed before its reply was complete; ask anew.")
