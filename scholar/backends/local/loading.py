"""From a model's name to its weights in memory, or to an error that says what to do.

Import this module only where it is used: it loads torch and transformers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import huggingface_hub
import torch
import transformers
from httpx2 import HTTPError
from huggingface_hub import errors as hub
from safetensors import SafetensorError
from transformers.utils import logging

from scholar.backends.local.accelerator import is_out_of_memory
from scholar.backends.local.adapters import adapted
from scholar.backends.local.source import Source, is_folder, place
from scholar.backends.local.weights import Memory, Weights
from scholar.errors import ModelError, ModelRejected, ModelUnavailable
from scholar.settings import Local

PATIENCE = 10.0
"""Seconds in which the hub has to answer; its own retries take half a minute to give up."""
_LOADING = (OSError, ValueError, KeyError, RuntimeError, MemoryError, SafetensorError, HTTPError)
_EXAMPLE = "local:Qwen/Qwen3-8B"


def open_weights(name: str, settings: Local, *, offline: bool) -> Weights:
    """Load the model `name`. Raises a ModelError that says what to do where it cannot be had.

    With `offline`, or where it is a folder, nothing is asked of the network.
    """
    quiet: Any = logging  # it carries no types
    quiet.set_verbosity_error()
    quiet.disable_progress_bar()
    source = Source.parse(name)
    try:
        return _load_or_fetch(name, source, settings, offline)
    except ModelError:
        raise
    except ImportError as error:
        line = str(error).strip().splitlines()[0]
        raise ModelRejected(
            f"{name} needs a package that is missing ({line}); install it, "
            "or run pip install 'scholar[local]'."
        ) from None
    except _LOADING as error:
        raise _why(name, error, offline) from None


def _load_or_fetch(name: str, source: Source, settings: Local, offline: bool) -> Weights:
    """What is on this machine is loaded without a word to the network."""
    try:
        return _load(name, source, settings, True)
    except (OSError, ValueError):
        elsewhere = [part for part in (source.base, source.adapter) if part and not is_folder(part)]
        if offline or not elsewhere:
            raise
    for part in elsewhere:
        huggingface_hub.HfApi().model_info(part, timeout=PATIENCE)  # fails sooner than fetching
    return _load(name, source, settings, False)


def _load(name: str, source: Source, settings: Local, here: bool) -> Weights:
    auto: Any = transformers
    folder, only = place(source.base, here)
    config = auto.AutoConfig.from_pretrained(folder, **only)
    tokenizer = auto.AutoTokenizer.from_pretrained(folder, **only)
    device = _device(name, settings.device)
    masked = _is_masked(config)
    options = {**only, **_precision(config, settings, device)}
    network = _kind(config, masked).from_pretrained(folder, config=config, **options)
    memory: Memory | None = None
    if source.adapter:
        network, memory = adapted(name, network, source.adapter, settings, here)
    if settings.quantisation == "none":
        network = network.to(device)
    network.eval().requires_grad_(False)
    return Weights(name, network, tokenizer, device, "masked" if masked else memory)


def _is_masked(config: Any) -> bool:
    names = config.architectures or []
    return any(name.endswith("ForMaskedLM") for name in names)


def _kind(config: Any, masked: bool) -> Any:
    auto: Any = transformers
    if masked:
        return auto.AutoModelForMaskedLM
    return auto.AutoModelForSeq2SeqLM if config.is_encoder_decoder else auto.AutoModelForCausalLM


def _device(name: str, wanted: str) -> torch.device:
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    there: dict[str, Any] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
    }
    if wanted in there and not there[wanted]():
        raise ModelRejected(
            f'This machine has no {wanted} for {name}; set device = "auto" under [local] '
            "in scholar.toml."
        )
    return torch.device(wanted)


def _precision(config: Any, settings: Local, device: torch.device) -> dict[str, Any]:
    # Without hardware for it, half precision is slower on a CPU than whole.
    own = "auto" if device.type != "cpu" else torch.float32
    dtype = own if settings.dtype == "auto" else getattr(torch, settings.dtype)
    if settings.quantisation == "none":
        return {"dtype": dtype}
    if getattr(config, "quantization_config", None):
        raise ModelRejected(
            'The weights are quantised already; set quantisation = "none" under [local].'
        )
    bits = {f"load_in_{settings.quantisation}": True}
    wanted: Any = transformers.BitsAndBytesConfig
    return {"dtype": dtype, "quantization_config": wanted(**bits), "device_map": {"": device}}


def _why(name: str, error: BaseException, offline: bool) -> ModelError:
    """The error to raise for what loading raised."""
    if is_out_of_memory(error):
        return ModelRejected(
            f"The weights of {name} do not fit into memory; choose a smaller model, or set "
            "quantisation under [local] in scholar.toml."
        )
    causes = list(_causes(error))
    if any(isinstance(c, hub.RepositoryNotFoundError | hub.RevisionNotFoundError) for c in causes):
        return ModelRejected(
            f"The hub has no {name} that you may read; check the name, as in {_EXAMPLE}, "
            "or accept its terms there and run hf auth login."
        )
    absent = any(isinstance(c, hub.LocalEntryNotFoundError) for c in causes)
    source = Source.parse(name)
    if offline and not all(is_folder(part) for part in (source.base, source.adapter) if part):
        return ModelRejected(
            f"The weights of {name} are not on this machine, and offline is set; fetch them "
            f"while online with hf download {source.base}, or name a folder as "
            "local:/path/to/model."
        )
    if absent or any(isinstance(c, hub.OfflineModeIsEnabled | HTTPError) for c in causes):
        return ModelUnavailable(
            f"The weights of {name} are not on this machine, and the hub cannot be reached; "
            "check the network, or name a folder as local:/path/to/model."
        )
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return ModelRejected(
        f"{name} cannot be loaded ({line[:200].rstrip('.')}); check that it is a whole model "
        "that transformers knows, or choose another."
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
