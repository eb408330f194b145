"""Telling what a model thinks from what it says."""

from __future__ import annotations

OPENING, CLOSING = "<think>", "</think>"


class Spoken:
    """Leaves out the blocks of thought that a reply opens with, however they are cut up.

    `thinking` says that the prompt has opened a block already.
    """

    def __init__(self, thinking: bool = False) -> None:
        self._held = ""
        self.thinking = thinking
        """Whether a block is open."""
        self.has_thought = thinking
        """Whether there was one."""
        self.speaking = False
        """Whether the reply proper has begun."""

    def feed(self, text: str) -> str:
        """Take in a piece; returns what is said in it."""
        if self.speaking:
            return text
        self._held += text
        if self.thinking:
            _, closed, after = self._held.partition(CLOSING)
            if not closed:
                self._held = self._held[-len(CLOSING) :]
                return ""
            self._held, self.thinking = after, False
        return self._begin(self._held.lstrip())

    def rest(self) -> str:
        """What was held back until it was clear that nothing follows."""
        return "" if self.speaking or self.thinking else self._held

    def _begin(self, text: str) -> str:
        if text.startswith(OPENING):
            self._held, self.thinking, self.has_thought = text[len(OPENING) :], True, True
            return self.feed("")
        if OPENING.startswith(text):
            return ""
        self.speaking = True
        return text
