"""An answer as plain data, and plain data as JSON."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Any

from scholar.values import Answer, Paper

# What JSON allows inside its strings although it could steer a terminal, and halves of characters.
_STEERING = re.compile(r"[\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def to_json(answer: Answer) -> dict[str, Any]:
    """The answer as plain data, as `scholar/answer.schema.json` describes it."""
    return {
        "run_id": answer.run_id,
        "question": answer.question,
        "outcome": answer.outcome.value,
        "sentences": [asdict(sentence) for sentence in answer.sentences],
        "conflicts": [asdict(conflict) for conflict in answer.conflicts],
        "stance": answer.stance,
        "basis": answer.basis,
        "premises": [asdict(premise) for premise in answer.premises],
        "bibliography": [paper_to_json(paper) for paper in answer.bibliography],
        "coverage": asdict(answer.coverage),
        "verdicts": [
            {"juror": v.juror, "action": v.action, "reasons": list(v.reasons), "failed": v.failed}
            for v in answer.verdicts
        ],
        "usage": asdict(answer.usage),
        "notes": list(answer.notes),
        "review": asdict(answer.review) if answer.review else None,
    }


def paper_to_json(paper: Paper) -> dict[str, Any]:
    """A paper as plain data, with `paper_id` for its id."""
    fields = asdict(paper)
    return {"paper_id": fields.pop("id"), **fields}


def json_text(value: object) -> str:
    """Plain data as JSON, in which no character could steer a terminal."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
