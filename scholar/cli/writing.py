"""What `--out FILE` asks for, written once the answer is printed."""

from __future__ import annotations

import time
from collections.abc import Sequence

from scholar.cli.common import complain, err
from scholar.errors import LibraryError, ReportError
from scholar.events import Drafting, Event
from scholar.library import Library
from scholar.report import files, plain
from scholar.report.dossier import Dossier, gather
from scholar.report.timeline import Timed
from scholar.values import Answer


class Reports:
    """The files that `names` name. Raises UsageError where one of them says no form.

    A run is to be told of by `saw` event by event, and `gather` while its library is open.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._paths = list(dict.fromkeys(map(files.place, names)))
        self._events: list[Timed] = []
        self._dossier: Dossier | None = None

    def saw(self, event: Event) -> None:
        """Keep what happens, and when."""
        if self._paths and not isinstance(event, Drafting):
            self._events.append((time.time(), event))

    async def gather(self, answer: Answer, library: Library) -> None:
        """Fetch what the files show beside `answer`."""
        if not self._paths:
            return
        try:
            self._dossier = await gather(answer, library, self._events)
        except LibraryError as error:
            complain(f"The files of --out lack the passages and the map: {error}")
            self._dossier = Dossier(answer, events=self._events)

    def write(self) -> int:
        """Write the files and say where they are; the exit code, 0 where all could be written."""
        code = 0
        if self._dossier is None:
            return code
        for path in self._paths:
            try:
                files.save(self._dossier, path)
            except ReportError as error:
                complain(str(error))
                code = error.exit_code
            else:
                err.print(plain(f"written to {path}"), style="dim", soft_wrap=True)
        return code
