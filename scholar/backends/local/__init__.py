"""Models that run on this machine, by transformers and torch.

`backend` hands requests to the thread of `worker`, which owns the model: `weights`, by `loading`
and `adapters`. There `chat_template` makes tokens of a conversation; `writing`, held to a schema
by `guide`, and `choosing` are what a reply can be. `scheduler` lets them in and takes turns;
`batching` writes many at once from one `kv_cache`, where `prefix_cache` saves what begins alike,
and `cacheless` serves models that cannot share one. `sampling` chooses tokens, `streaming` sends
their text. A schema is held by `json_schema`, `grammar`, `walk` and `vocabulary`.

Neither package is loaded before the first request, and then in the thread that owns the model.
"""

from scholar.backends.local.backend import LocalBackend

__all__ = ["LocalBackend"]
