"""`scholar review`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from scholar import estimate as estimating
from scholar import settings
from scholar.agents.planner import NO_REVIEW
from scholar.cli.asking import drive, print_estimate, show_end
from scholar.cli.common import notice
from scholar.cli.flags import Form
from scholar.cli.writing import Reports
from scholar.errors import UsageError
from scholar.runs import Run, Scholar
from scholar.settings import Settings


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for; the `columns` have commas between them."""

    topic: str
    columns: str
    sections: int
    preset: str | None
    k: int | None

    def start(self, scholar: Scholar) -> Run:
        """The run that answers it; it may wait for a person."""
        columns = [name.strip() for name in self.columns.split(",") if name.strip()]
        return scholar.start_review(
            self.topic,
            columns=columns,
            sections=self.sections,
            preset=self.preset,
            k=self.k,
            person=True,
        )


async def estimate(asked: Asked, flags: dict[str, Any], form: Form) -> int:
    """Print what the review would take, and call nothing; the library is not looked into."""
    known = settings.load(**flags)
    preset = known.preset_named(_preset(asked, known))
    if not preset.can_review:
        raise UsageError(NO_REVIEW)
    found = estimating.estimate_review(asked.topic, preset, known, asked.sections, asked.k)
    print_estimate(found, form)
    return 0


def _preset(asked: Asked, known: Settings) -> str:
    """The preset of the review, after a notice where the one that is set cannot write any."""
    chosen = asked.preset or known.review_preset()
    if not asked.preset and "preset" in known.model_fields_set and chosen != known.preset:
        notice(
            f"The preset that is set, {known.preset}, reads and writes in one call and cannot "
            f"review; this takes {chosen}."
        )
    return chosen


async def review(
    asked: Asked,
    sources: list[str],
    flags: dict[str, Any],
    form: Form,
    files: Sequence[str] = (),
) -> int:
    """Write the review, show what happens on standard error, print it, and write it to `files`."""
    reports = Reports(files)
    chosen = replace(asked, preset=_preset(asked, settings.load(**flags)))
    return show_end(await drive(flags, sources, chosen.start, reports), reports, form)
