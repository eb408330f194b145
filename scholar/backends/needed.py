"""Which files of a repository of the hub loading needs: no others are fetched."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scholar.errors import ModelRejected

_TEXTS = (".json", ".txt", ".model", ".jinja", ".tiktoken", ".bpe", ".vocab")
"""What configurations and tokenizers are kept in."""
_WEIGHTS = (("model", "safetensors"), ("pytorch_model", "bin"))
_ADAPTERS = (("adapter_model", "safetensors"), ("adapter_model", "bin"))
"""Names of weights, in the order in which loading looks for them."""
CONFIG, ADAPTER = "config.json", "adapter_config.json"
_INDEX = ".index.json"


@dataclass(frozen=True, slots=True)
class File:
    """`key` is what the cache names a content by: SHA-256 if it is large, git's own hash if not."""

    name: str
    size: int
    key: str


Read = Callable[[File], Awaitable[dict[str, Any]]]
"""Reads a small file of JSON, which says what else is needed."""


async def chosen(repo: str, listed: Mapping[str, File], read: Read) -> list[File]:
    """The files that loading needs, the weights last: where they are, all is."""
    texts = [name for name in listed if "/" not in name and name.endswith(_TEXTS)]
    texts = [name for name in texts if not name.endswith(_INDEX)]
    weights = await _weights(_WEIGHTS, listed, read)
    if ADAPTER in listed:
        texts = texts if weights else [ADAPTER]
        weights += await _weights(_ADAPTERS, listed, read)
        if (await read(listed[ADAPTER])).get("peft_type") == "XLORA":
            ends = ("/" + ADAPTER, *(f"/{stem}.{kind}" for stem, kind in _ADAPTERS))
            weights += [name for name in listed if name.endswith(ends)]  # its experts
    if not weights:
        raise ModelRejected(
            f"{repo} has no weights that can be loaded here, as safetensors or .bin; choose "
            "another, or serve it with llama.cpp or Ollama and name it as openai:NAME@URL."
        )
    return [listed[name] for name in dict.fromkeys([*texts, *weights])]


async def _weights(
    kinds: Iterable[tuple[str, str]],
    listed: Mapping[str, File],
    read: Read,
) -> list[str]:
    """The names of the first kind of weights that there is, and of what says how they are split."""
    for stem, kind in kinds:
        name = f"{stem}.{kind}"
        if name in listed:
            return [name]
        if index := listed.get(name + _INDEX):
            pieces = set((await read(index))["weight_map"].values())
            return [index.name, *sorted(pieces & listed.keys())]
    return []


def has_weights(folder: Path) -> bool:
    for stem, kind in (*_WEIGHTS, *_ADAPTERS):
        weights, index = folder / f"{stem}.{kind}", folder / f"{stem}.{kind}{_INDEX}"
        if weights.exists():
            return True
        if index.exists():
            pieces = json.loads(index.read_text("utf-8"))["weight_map"].values()
            return all((folder / piece).exists() for piece in pieces)
    return False
