"""Replies on disk, so that the same request is paid for once.

The key is a hash of all that a reply depends on. Only replies that fitted their schema are kept;
failures, refusals and cut replies never are.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import astuple

from scholar.backends import Request
from scholar.backends.store import Store
from scholar.text import encodable

MOST = 20_000
"""Replies kept, some tens of megabytes; beyond that the oldest go."""
_PRUNE_EVERY = 500


class ReplyCache:
    """The replies in `store`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept = 0

    def get(self, key: str) -> str | None:
        """The reply kept under `key`, or None."""
        rows = self._store.rows("SELECT text FROM replies WHERE key = ?", (key,))
        return str(rows[0][0]) if rows else None

    def put(self, key: str, model: str, text: str) -> None:
        """Keep a reply."""
        values = (key, model, encodable(text), time.time())
        self._store.write("INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?)", values)
        self._kept += 1
        if self._kept % _PRUNE_EVERY == 1:
            self._store.write(
                "DELETE FROM replies WHERE at < "
                "(SELECT at FROM replies ORDER BY at DESC LIMIT 1 OFFSET ?)",
                (MOST,),
            )


def reply_key(model_id: str, revision: str, request: Request, prompt: str, version: int) -> str:
    """The key of a reply: `model_id` names backend, model and address, `prompt` its file.

    `revision` is that of the weights, where the backend knows it.
    """
    asked = {
        "model": model_id,
        "revision": revision,
        "prompt": [prompt, version],
        "messages": [astuple(message) for message in request.messages],
        "schema": request.schema,
        "schema_name": request.schema_name,
        "temperature": request.temperature,
        "max_tokens": request.max_tokens,
        "seed": request.seed,
        "stop": request.stop,
        "choices": request.choices,
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
