"""Replies that are written token by token."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from scholar.backends import Request, TokenCount
from scholar.backends.local.guide import Guide
from scholar.backends.local.reply import END_OF_THOUGHT, Reply
from scholar.backends.local.streaming import Decoder, Send
from scholar.backends.stops import Stops
from scholar.backends.thoughts import Spoken
from scholar.errors import ModelRejected, ReplyInvalid

if TYPE_CHECKING:
    import torch

    from scholar.backends.local.weights import Weights


class Writing(Reply):
    """A reply that is written token by token, held to a schema where there is one."""

    def __init__(
        self, request: Request, weights: Weights, send: Send, prompt: list[int], thinking: bool
    ) -> None:
        super().__init__(request, weights, send, prompt, thinking)
        schema = request.schema
        self._guide = None if schema is None else Guide(weights.words.grammar(schema), weights)
        self._spoken = Spoken(thinking)
        self._stops = Stops(request.stop)
        self._decoder = Decoder(weights)
        self._forced: deque[int] = deque()
        self._close = weights.encode(END_OF_THOUGHT) if thinking else []
        needed = len(self._close) + (self._guide.needs if self._guide else 1)
        self._most = min(request.max_tokens, self.room(needed))
        if self._most < needed:
            raise ModelRejected(
                f"{request.max_tokens} tokens are too few for the {request.schema_name} that "
                f"{weights.name} is to write, which needs {needed}; raise max_tokens."
            )
        # Half of what is not needed is for thoughts, so that enough is left to answer in.
        self._thoughts = (self._most - needed) // 2
        self._count = self._reasoning = 0

    @property
    def _is_guided(self) -> bool:
        return self._guide is not None and not self._spoken.thinking

    def forced(self) -> int | None:
        return self._forced[0] if self._forced else None

    def mask(self, bits: torch.Tensor, row: int) -> bool:
        if self._guide is None or self._spoken.thinking:
            return False
        self._guide.mask(bits, row)
        return True

    def take(self, token: int) -> bool:
        self._count += 1
        if self._forced:
            self._forced.popleft()
        if self._is_guided:
            return self._take_guided(token)
        if self._guide is not None:
            return self._take_thought(token)
        return self._take_free(token)

    def _take_guided(self, token: int) -> bool:
        assert self._guide is not None
        left = self._most - self._count
        if self._guide.takes(token, left):
            text = self._guide.text(token)
        else:
            closing = self._guide.end()
            self._count += len(closing) - 1  # they come in the place of `token`
            text = "".join(map(self._guide.text, closing))
        if text:
            self.say(text)
        if self._guide.is_done:
            self._finish()
        return self._guide.is_done

    def _take_thought(self, token: int) -> bool:
        """Thoughts before a reply to a schema; they end in time for it."""
        self._spoken.feed(self._decoder.feed(token))
        self._reasoning = self._count
        spent = token in self.weights.ends or self._count >= self._thoughts
        if spent and self._spoken.thinking and not self._forced:
            self._forced.extend(self._close)
        return False

    def _take_free(self, token: int) -> bool:
        if token in self.weights.ends:
            self._speak(self._spoken.feed(self._decoder.rest()) + self._spoken.rest())
            self._finish(self._stops.rest())
            return True
        self._speak(self._spoken.feed(self._decoder.feed(token)))
        if self._spoken.has_thought and not self._spoken.speaking:
            self._reasoning = self._count
        if self._stops.hit:
            self._finish()
            return True
        if self._count < self._most:
            return False
        self._speak(self._spoken.feed(self._decoder.rest()))
        self._cut(self._stops.rest())
        return True

    def _speak(self, text: str) -> None:
        if text := self._stops.feed(text):
            self.say(text)

    def _finish(self, rest: str = "") -> None:
        self.say(rest, self._tokens)
        self.send(None)

    def _cut(self, rest: str) -> None:
        self.say(rest, self._tokens)
        self.send(
            ReplyInvalid(
                f"The reply of {self.weights.name} was cut off at {self._count:,} tokens; ask for "
                "less, or choose a model that writes more and set context_window to its window."
            )
        )

    @property
    def _tokens(self) -> TokenCount:
        return TokenCount(self.sent, self._count, self._reasoning)
