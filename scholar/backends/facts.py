"""What has been found out about a model, and kept so that no later process learns it by failing."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError

from scholar.backends import Learned
from scholar.backends.chat import CHAT
from scholar.backends.dialect import Dialect
from scholar.backends.pace import Pace
from scholar.backends.responses import RESPONSES
from scholar.backends.store import Store


class Facts(BaseModel):
    """A model's pace, what its backend has `learned`, and the last check of it.

    `usage` and `seed` say whether the server reports tokens and takes a seed; `checked` is when
    that was found out, in seconds since 1970. None is not known.
    """

    model_config = ConfigDict(frozen=True)

    pace: Pace = Pace()
    refused: frozenset[str] = frozenset()
    responses: bool | None = None
    usage: bool | None = None
    seed: bool | None = None
    checked: float | None = None

    @property
    def learned(self) -> Learned:
        """What the backend had found out about its server."""
        return Learned(self.refused, self.responses)

    @property
    def dialect(self) -> str:
        """How an OpenAI-compatible server is asked: "chat", or "responses"."""
        return self._dialect.name

    @property
    def schema_parameter(self) -> str:
        """The parameter that carries a schema, as `refused` names it."""
        return self._dialect.schema

    @property
    def json_schema(self) -> bool | None:
        """Whether the server holds replies to a schema, as far as that was ever tried."""
        known = self.checked or self.refused
        return self.schema_parameter not in self.refused if known else None

    @property
    def _dialect(self) -> Dialect:
        return RESPONSES if self.responses else CHAT

    def after(self, learned: Learned) -> Facts:
        """These facts with what the backend has learned by now."""
        update = {"refused": learned.refused, "responses": learned.responses}
        return self.model_copy(update=update)


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
