"""A cross-encoder that reads question and passage together. torch loads with the first use."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scholar.errors import SettingsError

BATCH = 16
"""Pairs per forward pass, as for the embedder."""
MAX_TOKENS = 512
"""What the published cross-encoders (ms-marco, bge-reranker) read; more of a passage is cut off."""


class Reranker:
    """A sequence classifier with one output, from a local folder or the model cache.

    Raises SettingsError where `name` is no such model.
    """

    def __init__(self, name: str) -> None:
        if importlib.util.find_spec("torch") is None:
            raise SettingsError(
                f"The reranker '{name}' needs torch; run pip install 'scholar[local]'."
            )
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        place = str(Path(name).expanduser())
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(place, local_files_only=True)
            model: Any = AutoModelForSequenceClassification.from_pretrained(
                place, local_files_only=True
            )
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"The reranker '{name}' cannot be loaded ({error}); set reranker to the folder of "
                "a cross-encoder, or to nothing."
            ) from None
        if model.config.num_labels != 1:
            raise SettingsError(
                f"The reranker '{name}' has {model.config.num_labels} outputs, and a cross-encoder "
                "has one; set reranker to another."
            )
        self._torch: Any = torch
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model: Any = model.eval().to(self._device)

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """How well each of `texts` fits `query`, 0 to 1."""
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        scores = [0.0] * len(texts)
        for at in range(0, len(order), BATCH):
            batch = order[at : at + BATCH]
            for place, score in zip(
                batch, self._read(query, [texts[i] for i in batch]), strict=True
            ):
                scores[place] = score
        return scores

    def _read(self, query: str, texts: list[str]) -> list[float]:
        with self._torch.inference_mode():
            tokens = self._tokenizer(
                [query] * len(texts),
                texts,
                padding=True,
                truncation="only_second",
                max_length=MAX_TOKENS,
                return_tensors="pt",
            ).to(self._device)
            logits = self._model(**tokens).logits.float().squeeze(-1).cpu().numpy()
        return [float(score) for score in 1 / (1 + np.exp(-logits))]
