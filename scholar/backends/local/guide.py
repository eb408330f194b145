"""Constrained decoding: one reply held to a grammar, token by token."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from scholar.backends.local.vocabulary import Grammar
    from scholar.backends.local.weights import Weights


class Guide:
    """Holds one reply to a grammar, and knows how to end it within any number of tokens."""

    def __init__(self, grammar: Grammar, weights: Weights) -> None:
        import xgrammar

        self._weights = weights
        self._matcher: Any = xgrammar.GrammarMatcher(grammar.compiled)
        self._state = grammar.walk.start
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.is_done = False

    @property
    def needs(self) -> int:
        """Tokens that the shortest reply takes."""
        return len(self._state.closing or ())

    def end(self) -> tuple[int, ...]:
        """End the reply as soon as can be; returns the tokens that do."""
        self.is_done = True
        return self._state.closing or ()

    def mask(self, bits: torch.Tensor, row: int) -> None:
        """Write the tokens that may follow into a row of `bits`."""
        self._matcher.fill_next_token_bitmask(bits, row)
        # The marks for turns and gaps spell text too, but are none.
        bits[row] &= self._weights.words.text_mask

    def takes(self, token: int, left: int) -> bool:
        """Whether `token` goes on the reply so that it can end within `left` tokens after it."""
        if token in self._weights.ends:
            return False  # at a whole reply the closing is empty, so this ends it
        after = self._state.after(self._weights.words.bytes_of(token))
        if after is None or after.closing is None or len(after.closing) > left:
            return False
        if not self._matcher.accept_token(token):
            return False
        self._state, self.is_done = after, after.is_end
        return True

    def text(self, token: int) -> str:
        """The text of the next token of the reply."""
        return self._decoder.decode(self._weights.words.bytes_of(token))
