"""A loaded model, and what its network and its tokenizer say of replies.

Import this module only where it is used: it loads torch.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any, Literal

import torch

from scholar.backends.local.vocabulary import Vocabulary

Memory = Literal["shared", "own", "none", "masked"]
"""How replies remember what was read: in one block that all share; each in a cache of its own; not
at all, so that it is read anew. A masked model reads once, and writes none."""
_CACHES = ("past_key_values", "cache_params")
_ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}
_AS_IT_IS = {"clean_up_tokenization_spaces": False}


class Weights:
    """A loaded model: its `network` and `tokenizer`, and what follows from the two.

    `memory` is found by what the network is where it is not given. Tokens from `vocabulary` on mean
    nothing, and are never written.
    """

    def __init__(
        self,
        name: str,
        network: Any,
        tokenizer: Any,
        device: torch.device,
        memory: Memory | None = None,
    ) -> None:
        self.name = name
        self.network = network
        self.tokenizer = tokenizer
        self.device = device
        config = network.config.get_text_config()
        adapter = getattr(network, "active_peft_config", None)
        virtual: int = getattr(adapter, "num_virtual_tokens", 0)
        self.window: int = (getattr(config, "max_position_embeddings", None) or 1 << 30) - virtual
        self.logits: int = config.vocab_size
        self.vocabulary: int = min(len(tokenizer), self.logits)
        self.memory = memory or self._memory()

    def _memory(self) -> Memory:
        config = self.base.config
        kinds = set(getattr(config.get_text_config(), "layer_types", None) or ())
        if config.is_encoder_decoder:
            return "none"
        if not getattr(self.base, "_is_stateful", False) and kinds <= _ATTENTION:
            return "shared"
        return "own" if self.cache_name else "none"

    @property
    def base(self) -> Any:
        """The network without its adapter."""
        inside = getattr(self.network, "get_base_model", None)
        return inside() if inside else self.network

    @cached_property
    def cache_name(self) -> str:
        """What the network calls a cache that it is given; empty where it is given none."""
        known = inspect.signature(self.base.forward).parameters
        return next((name for name in _CACHES if name in known), "")

    @cached_property
    def decoder_start(self) -> int | None:
        """The token before a reply, where a decoder writes it and an encoder reads the prompt."""
        config = self.base.config
        if not config.is_encoder_decoder:
            return None
        own = getattr(self.base, "generation_config", None)
        wanted = [
            getattr(own, "decoder_start_token_id", None),
            getattr(config, "decoder_start_token_id", None),
            self.tokenizer.pad_token_id,
        ]
        return next((token for token in wanted if token is not None), 0)

    @cached_property
    def ends(self) -> frozenset[int]:
        """The tokens that end a reply."""
        own = getattr(self.network, "generation_config", None)
        wanted = [self.tokenizer.eos_token_id, own.eos_token_id if own else None]
        flat = [t for w in wanted for t in (w if isinstance(w, list) else [w])]
        return frozenset(token for token in flat if token is not None)

    @cached_property
    def silent(self) -> frozenset[int]:
        """The tokens that are no text, except those that fence thoughts."""
        marks = {token for name, token in self.marks.items() if "think>" not in name}
        return frozenset(marks) | self.ends

    @cached_property
    def marks(self) -> dict[str, int]:
        """The tokens that stand for turns, gaps and the like, by their names."""
        tokenizer = self.tokenizer
        added = tokenizer.added_tokens_decoder.items()
        names = {str(token) for _, token in added if token.special} | {
            *tokenizer.all_special_tokens
        }
        return {name: tokenizer.convert_tokens_to_ids(name) for name in names}

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`."""
        ids = [token for token in tokens if token not in self.silent]
        text: str = self._decode(ids, skip_special_tokens=False)
        return text

    @cached_property
    def _decode(self) -> Any:
        # What lies under a fast tokenizer decodes ten times faster, which counts for every token.
        fast = getattr(self.tokenizer, "backend_tokenizer", None)
        return fast.decode if fast else partial(self.tokenizer.decode, **_AS_IT_IS)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text in the middle of others."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    @cached_property
    def words(self) -> Vocabulary:
        """The vocabulary as text, for replies of a given form."""
        return Vocabulary(self)
