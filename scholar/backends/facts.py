"""What has been found out about a model, and kept so that no later process learns it by failing."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError

from scholar.backends.pace import Pace
from scholar.backends.store import Store


class Facts(BaseModel):
    """A model's pace, the parameters that its server has `refused`, and the last check of it.

    `usage` and `seed` say whether the server reports tokens and takes a seed; `checked` is when
    that was found out, in seconds since 1970. None is not known.
    """

    model_config = ConfigDict(frozen=True)

    pace: Pace = Pace()
    refused: frozenset[str] = frozenset()
    usage: bool | None = None
    seed: bool | None = None
    checked: float | None = None


class FactsFile:
    """The facts in `store`, by a model's public id."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, model_id: str) -> Facts:
        """What is known of a model; nothing yet where what is kept cannot be read."""
        rows = self._store.rows("SELECT facts FROM models WHERE id = ?", (model_id,))
        try:
            return Facts.model_validate_json(rows[0][0]) if rows else Facts()
        except ValidationError:
            return Facts()

    def put(self, model_id: str, facts: Facts) -> None:
        """Keep what is known of a model."""
        values = (model_id, facts.model_dump_json())
        self._store.write("INSERT OR REPLACE INTO models VALUES (?, ?)", values)
