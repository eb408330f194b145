"""What `--out FILE` asks for, written once the answer is printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scholar import settings, trace
from scholar.cli.common import complain, err
from scholar.errors import LibraryError, ReportError
from scholar.report import files, plain
from scholar.report.dossier import Dossier, gather
from scholar.report.timeline import Timed
from scholar.values import Answer

if TYPE_CHECKING:
    from scholar.library import Library


def traced(run_id: str) -> list[Timed]:
    """The events of a run, of all times that it was worked on; none where no trace is kept."""
    try:
        return trace.read(trace.path_of(settings.load().home, run_id))
    except FileNotFoundError:
        return []


class Reports:
    """The files that `names` name. Raises UsageError where one of them says no form.

    What they show is to be gathered by `gather` while the library is open.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._paths = list(dict.fromkeys(map(files.place, names)))
        self._dossier: Dossier | None = None

    async def gather(self, answer: Answer, library: Library) -> None:
        """Fetch what the files show beside `answer`."""
        if not self._paths:
            return
        told = traced(answer.run_id)
        try:
            self._dossier = await gather(answer, library, told)
        except LibraryError as error:
            complain(f"The files of --out lack the passages and the map: {error}")
            self._dossier = Dossier(answer, events=told)

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
