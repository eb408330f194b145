"""What has been computed for texts that ended lately, for those that begin alike.

Import this module only where it is used: it loads torch and transformers.
"""

from __future__ import annotations

from collections.abc import Sequence

from transformers.cache_utils import Cache

from scholar.backends.local import kv_cache

KEPT_TOKENS = 16_384
"""Tokens whose keys and values are kept after their reply, for a prompt that begins alike; 2 GB of
a model of 8 billion parameters."""
WORTH_COPYING = 16
"""Tokens in common from which on copying is quicker than computing them anew."""

Known = tuple[list[int], Cache, int]
"""Tokens, the cache that has their keys and values, and the row of it that ends with them."""


class PrefixCache:
    """The keys and values of the last texts, `KEPT_TOKENS` of them in all."""

    def __init__(self) -> None:
        self._kept: list[tuple[list[int], Cache]] = []

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, tokens: list[int], cache: Cache) -> None:
        """Keep what has been computed for `tokens`, and let go of the oldest for it."""
        if not tokens or any(known[: len(tokens)] == tokens for known, _ in self._kept):
            return
        self._kept = [kept for kept in self._kept if tokens[: len(kept[0])] != kept[0]]
        self._kept.append((tokens, cache))
        while sum(len(known) for known, _ in self._kept) > KEPT_TOKENS:
            del self._kept[0]

    def begun(self, tokens: list[int], under_way: Sequence[Known]) -> tuple[Cache, int]:
        """A copy of what is known of the longest beginning of `tokens`, and its length.

        It is known from what is kept, or from replies `under_way`.
        """
        known = [*under_way, *((kept, cache, 0) for kept, cache in self._kept)]
        # The last token is read in any case: what follows it is what is asked for.
        common = [_common(tokens[:-1], beginning) for beginning, _, _ in known]
        most = max(common, default=0)
        if most < WORTH_COPYING:
            return kv_cache.empty(), 0
        beginning, cache, row = known[common.index(most)]
        start = cache.get_seq_length() - len(beginning)
        return kv_cache.cut(cache, row, start, start + most), most


def _common(one: list[int], other: list[int]) -> int:
    """How many tokens two sequences begin with alike."""
    most = min(len(one), len(other))
    if one[:most] == other[:most]:
        return most
    return next(at for at in range(most) if one[at] != other[at])
