"""Adapters, by peft: small weights that change what a model says.

Import this module only where it is used: it loads what peft loads.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import huggingface_hub
from huggingface_hub.errors import LocalEntryNotFoundError

from scholar.backends.local.source import is_folder, place
from scholar.errors import ModelRejected
from scholar.settings import Local

if TYPE_CHECKING:
    from scholar.backends.local.weights import Memory

_SOFT_PROMPTS = ("PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING")
"""Adapters that put something of their own before every text."""
_TASKS = ("MULTITASK_PROMPT_TUNING", "CPT", "CARTRIDGE", "POLY")
"""Adapters that want to be told more with each text than a conversation says."""
_CLASSIFIER = r"\binternal_xlora_classifier\b"
_LORA = r"\blora_(?:embedding_)?[AB]\b"


def adapted(
    name: str, network: Any, adapter: str, settings: Local, here: bool
) -> tuple[Any, Memory | None]:
    """`network` with its `adapter`, and how its replies are remembered where that changes it.

    Raises ModelRejected for a kind of adapter that cannot be served.
    """
    import peft

    folder, only = place(adapter, here)
    config: Any = peft.PeftConfig.from_pretrained(folder, **only)
    anew = _is_read_anew(config)
    _check_kind(name, network, config, anew)
    mixes = config.peft_type == peft.PeftType.XLORA
    if mixes:
        folder = _folder(adapter, here)
        network.config.use_cache = False  # what is weighed anew at every token, no cache can hold
        config.adapters = _experts(name, config.adapters, folder, here, is_folder(adapter))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # between peft and transformers
        whole: Any = peft.PeftModel.from_pretrained(network, folder, config=config, **only)
    if mixes:
        _check_experts(name, whole, folder, config.adapters)
    if anew:
        return whole, "none"
    if config.peft_type == peft.PeftType.LORA and settings.quantisation == "none":
        return whole.merge_and_unload(), None  # as fast as the model alone
    return whole, None


def _is_read_anew(config: Any) -> bool:
    """Whether the adapter changes what a text's beginning means, past any cache."""
    kind = config.peft_type.value
    return kind in ("XLORA", *_SOFT_PROMPTS) or bool(
        kind == "LORA" and getattr(config, "alora_invocation_tokens", None)
    )


def _check_kind(name: str, network: Any, config: Any, anew: bool) -> None:
    kind = config.peft_type.value
    unfit = anew and (network.config.is_encoder_decoder or getattr(network, "_is_stateful", False))
    if kind in _TASKS or unfit:
        raise ModelRejected(
            f"The adapter of {name} is of a kind that is not run here ({kind}); use a LoRA, or "
            "merge it into the model."
        )
    if kind == "XLORA" and getattr(network.config, "quantization_config", None):
        raise ModelRejected(
            f"The adapter of {name} mixes experts into whole weights only; set "
            'quantisation = "none" under [local], or choose a base that is not quantised.'
        )


def _experts(
    name: str, trained: dict[str, str], folder: str, here: bool, settled: bool
) -> dict[str, str]:
    """Where the experts of an X-LoRA are, which may have moved since it was `trained`.

    They get their numbers as names, since those are what peft mixes them by. Where the adapter is
    `settled`, being a folder, there is no second attempt that could fetch them.
    """
    found = {}
    for number, (own_name, path) in enumerate(trained.items()):
        try:
            found[str(number)] = _expert(Path(folder), own_name, path, here)
        except LocalEntryNotFoundError:
            if not settled:
                raise
            raise ModelRejected(
                f"The expert {path} of {name} is not on this machine; fetch it with "
                f"hf download {path}, or put its folder into {folder}."
            ) from None
    return found


def _expert(folder: Path, name: str, path: str, here: bool) -> str:
    """The folder of one expert: where its path leads, also from the adapter itself."""
    parts = Path(path).parts
    tails = [folder.joinpath(*parts[at:]) for at in range(len(parts))]
    for candidate in (*tails, folder / name):
        if (candidate / "adapter_config.json").is_file():
            return str(candidate)
    return _folder(path, here)


def _folder(part: str, here: bool) -> str:
    found, only = place(part, here)
    return found if Path(found).is_dir() else huggingface_hub.snapshot_download(found, **only)


def _check_experts(name: str, network: Any, folder: str, experts: dict[str, str]) -> None:
    """Refuse what peft loads without a word: files that lack some of the weights."""
    from peft.utils import load_peft_weights

    made = list(network.state_dict())
    parts = {folder: (_CLASSIFIER, _CLASSIFIER)}
    parts |= {path: (rf"{_LORA}\.{number}\b", _LORA) for number, path in experts.items()}
    for part, (wanted, there) in parts.items():
        saved = load_peft_weights(part, device="cpu")
        if _count(there, saved) < _count(wanted, made):
            raise ModelRejected(
                f"The adapter of {name} is not whole: weights are missing in {part}, as some "
                "versions of peft leave them out; have it saved anew."
            )


def _count(pattern: str, names: Iterable[str]) -> int:
    return sum(re.search(pattern, name) is not None for name in names)
