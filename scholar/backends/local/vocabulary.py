"""A model's tokens as text: what they spell, which of them are none, and grammars over them.

Import this module only where it is used: it loads torch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from scholar.backends import SchemaUnsupported
from scholar.backends.local.json_schema import Schema
from scholar.backends.local.walk import Walk

if TYPE_CHECKING:
    from scholar.backends.local.weights import Weights

LONGEST_TOKEN = 32
"""Bytes of the longest token tried when the end of a reply is spelled: keys are shorter."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """A schema made ready: `compiled` for masks, `walk` for the way to the end."""

    compiled: Any
    walk: Walk


class Vocabulary:
    """The tokens of `weights`. All but `text_mask` raises SchemaUnsupported without xgrammar."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._grammars: dict[str, Grammar] = {}

    @cached_property
    def _known(self) -> tuple[Any, list[bytes]]:
        """xgrammar's compiler for the vocabulary, and the bytes of each token."""
        weights = self._weights
        try:
            import xgrammar

            info = xgrammar.TokenizerInfo.from_huggingface(
                weights.tokenizer,
                vocab_size=weights.logits,
                stop_token_ids=sorted(weights.ends) or None,
            )
        except (ImportError, ValueError) as error:
            raise SchemaUnsupported(
                f"{weights.name} cannot be held to a schema ({error}); put it into the prompt, "
                "or run pip install 'scholar[local]'."
            ) from None
        return xgrammar.GrammarCompiler(info, max_threads=1), info.decoded_vocab

    @cached_property
    def _by_bytes(self) -> dict[bytes, int]:
        texts = self._known[1][: self._weights.vocabulary]
        return {t: n for n, t in enumerate(texts) if t and n not in self._weights.silent}

    @cached_property
    def text_mask(self) -> torch.Tensor:
        """A mask, in xgrammar's form, of the tokens that are text."""
        bits = torch.full(((self._weights.logits + 31) // 32 * 32,), True)
        bits[list(self._weights.silent)] = False
        powers = torch.tensor([1 << n for n in range(32)], dtype=torch.int64)
        words = (bits.view(-1, 32) * powers).sum(dim=1)
        return torch.where(words >= 1 << 31, words - (1 << 32), words).to(torch.int32)

    def bytes_of(self, token: int) -> bytes:
        """The bytes that a token stands for."""
        return self._known[1][token]

    def _spell(self, pieces: tuple[bytes, ...]) -> tuple[int, ...] | None:
        """`pieces` in as few tokens as greed finds, or None where there are none for them."""
        tokens: list[int] = []
        for piece in pieces:
            at = 0
            while at < len(piece):
                lengths = range(min(LONGEST_TOKEN, len(piece) - at), 0, -1)
                size = next((n for n in lengths if piece[at : at + n] in self._by_bytes), None)
                if size is None:
                    return None
                tokens.append(self._by_bytes[piece[at : at + size]])
                at += size
        return tuple(tokens)

    def grammar(self, schema: dict[str, Any]) -> Grammar:
        """The grammar of a JSON schema; SchemaUnsupported where these tokens cannot write it."""
        key = json.dumps(schema)
        if key not in self._grammars:
            self._grammars[key] = self._compiled(Schema(schema))
        return self._grammars[key]

    def _compiled(self, schema: Schema) -> Grammar:
        walk = Walk(schema.root, self._spell)
        if walk.start.closing is None:
            raise SchemaUnsupported(
                f"The vocabulary of {self._weights.name} cannot spell the schema; "
                "put it into the prompt."
            )
        return Grammar(self._known[0].compile_grammar(schema.ebnf), walk)
