"""A model's weights on this machine, with its tokens and its way to write a conversation.

Import this module only where it is used: it loads torch and transformers.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import huggingface_hub
import jinja2
import torch
import transformers
from httpx2 import HTTPError
from huggingface_hub import errors as hub
from safetensors import SafetensorError
from transformers.utils import logging

from scholar.backends import Message, SchemaUnsupported
from scholar.backends.batching import is_out_of_memory
from scholar.backends.grammar import Schema, Walk
from scholar.backends.thoughts import OPENING
from scholar.errors import ModelError, ModelRejected, ModelUnavailable
from scholar.settings import Local

LONGEST_TOKEN = 32
"""Bytes of the longest token tried when the end of a reply is spelled: keys are shorter."""
PATIENCE = 10.0
"""Seconds in which the hub has to answer; its own retries take half a minute to give up."""
_LOADING = (OSError, ValueError, KeyError, RuntimeError, MemoryError, SafetensorError, HTTPError)
_RECURRENT = ("linear_attention", "mamba", "recurrent", "conv", "hybrid")
_AS_IT_IS = {"clean_up_tokenization_spaces": False}
_EXAMPLE = "local:Qwen/Qwen3-8B"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from: `base` and perhaps an `adapter`, each an id or a folder."""

    base: str
    adapter: str | None = None

    @classmethod
    def parse(cls, name: str) -> Source:
        """Read `BASE` or `BASE+ADAPTER`; a folder may have a plus in its name."""
        base, plus, adapter = name.rpartition("+")
        if not plus or not base or not adapter or Path(name).expanduser().is_dir():
            return cls(name)
        return cls(base, adapter)


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
        elsewhere = [part for part in (source.base, source.adapter) if part and not _is_there(part)]
        if offline or not elsewhere:
            raise
    for part in elsewhere:
        huggingface_hub.HfApi().model_info(part, timeout=PATIENCE)  # fails sooner than fetching
    return _load(name, source, settings, False)


def _load(name: str, source: Source, settings: Local, here: bool) -> Weights:
    auto: Any = transformers
    folder, only = _from(source.base, here)
    config = auto.AutoConfig.from_pretrained(folder, **only)
    masked = _is_masked(config)
    if not masked:
        _check_kind(name, config)
    tokenizer = auto.AutoTokenizer.from_pretrained(folder, **only)
    device = _device(name, settings.device)
    kind = auto.AutoModelForMaskedLM if masked else auto.AutoModelForCausalLM
    options = {**only, **_precision(config, settings, device)}
    network = kind.from_pretrained(folder, config=config, **options)
    if source.adapter:
        network = _adapted(name, network, source.adapter, settings, here)
    if settings.quantisation == "none":
        network = network.to(device)
    network.eval().requires_grad_(False)
    return Weights(name, network, tokenizer, device, masked)


def _from(name: str, here: bool) -> tuple[str, dict[str, Any]]:
    """What `from_pretrained` takes for `name`: a folder, or an id of the hub or its cache."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return str(folder), {"local_files_only": True}
    if name.startswith(("/", "./", "../", "~")):
        raise ModelRejected(f"There is no folder {name}; write it as local:/path/to/model.")
    return name, {"local_files_only": here}


def _is_masked(config: Any) -> bool:
    names = config.architectures or []
    return any(name.endswith("ForMaskedLM") for name in names)


def _check_kind(name: str, config: Any) -> None:
    """Refuse what has no keys and values that a batch could be made of."""
    text = config.get_text_config()
    kinds = getattr(text, "layer_types", None) or []
    if config.is_encoder_decoder or any(k.startswith(_RECURRENT) for k in kinds):
        raise ModelRejected(
            f"{name} is of a kind that is not run here ({config.model_type}); serve it with "
            "vLLM or llama.cpp, and name it as openai:NAME@URL."
        )


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


def _adapted(name: str, network: Any, adapter: str, settings: Local, here: bool) -> Any:
    import peft

    folder, only = _from(adapter, here)
    config: Any = peft.PeftConfig.from_pretrained(folder, **only)
    if config.is_prompt_learning or config.peft_type == peft.PeftType.XLORA:
        # They change a sequence's beginning or read all of it for each token, past any cache.
        raise ModelRejected(
            f"The adapter of {name} is of a kind that is not run here "
            f"({config.peft_type.value}); use a LoRA, or merge it into the model."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # between peft and transformers
        adapted: Any = peft.PeftModel.from_pretrained(network, folder, **only)
    if config.peft_type == peft.PeftType.LORA and settings.quantisation == "none":
        return adapted.merge_and_unload()  # as fast as the model alone
    return adapted


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
    if offline and not all(_is_there(part) for part in (source.base, source.adapter) if part):
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


def _is_there(part: str) -> bool:
    return Path(part).expanduser().is_dir()


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


class Weights:
    """A loaded model: its `network` and `tokenizer`, and what follows from the two."""

    def __init__(
        self, name: str, network: Any, tokenizer: Any, device: torch.device, is_masked: bool
    ) -> None:
        self.name = name
        self.network = network
        self.tokenizer = tokenizer
        self.device = device
        self.is_masked = is_masked
        config = network.config.get_text_config()
        self.window: int = getattr(config, "max_position_embeddings", None) or 1 << 30
        self.logits: int = config.vocab_size
        self.vocabulary: int = min(len(tokenizer), self.logits)
        self._grammars: dict[str, Grammar] = {}

    @cached_property
    def ends(self) -> frozenset[int]:
        """The tokens that end a reply."""
        own = getattr(self.network, "generation_config", None)
        wanted = [self.tokenizer.eos_token_id, own.eos_token_id if own else None]
        flat = [t for w in wanted for t in (w if isinstance(w, list) else [w])]
        return frozenset(token for token in flat if token is not None)

    @cached_property
    def silent(self) -> frozenset[int]:
        """The tokens that are no text, except those that fence thoughts."""
        marks = {token for name, token in self._marks.items() if "think>" not in name}
        return frozenset(marks) | self.ends

    @cached_property
    def _marks(self) -> dict[str, int]:
        """The tokens that stand for turns, gaps and the like, by their names."""
        tokenizer = self.tokenizer
        added = tokenizer.added_tokens_decoder.items()
        names = {str(token) for _, token in added if token.special} | {
            *tokenizer.all_special_tokens
        }
        return {name: tokenizer.convert_tokens_to_ids(name) for name in names}

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`."""
        ids = [token for token in tokens if token not in self.silent]
        text: str = self._decode(ids, skip_special_tokens=False)
        return text

    @cached_property
    def _decode(self) -> Any:
        # What lies under a fast tokenizer decodes ten times faster, which counts for every token.
        fast = getattr(self.tokenizer, "backend_tokenizer", None)
        return fast.decode if fast else partial(self.tokenizer.decode, **_AS_IT_IS)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text in the middle of others."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def prompt(self, messages: Iterable[Message], *, think: bool) -> tuple[list[int], bool]:
        """The tokens of a conversation, and whether the reply begins within a thought.

        `think` asks a model to think that can do both; one that always thinks still does.
        """
        turns = [{"role": m.role, "content": self._harmless(m.content)} for m in messages]
        template = self.tokenizer.chat_template
        if template is None:
            ids: list[int] = self.tokenizer(_plain(turns))["input_ids"]
            return self._without_end(ids), False
        text = self._in_template(turns, think)
        if think and OPENING in str(template) and OPENING not in text[-2 * len(OPENING) :]:
            text += f"{OPENING}\n"
        return self.encode(text), text.rstrip().endswith(OPENING)

    def _in_template(self, turns: list[dict[str, str]], think: bool) -> str:
        options = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": think}
        apply = self.tokenizer.apply_chat_template
        for variant in (turns, _without_system(turns)):
            try:
                text: str = apply(variant, **options)
                return text
            except jinja2.TemplateError as error:
                failure = error  # some templates know no system turn
        raise ModelRejected(
            f"The chat template of {self.name} cannot write this conversation ({failure}); "
            "choose another model."
        )

    def _harmless(self, text: str) -> str:
        """`text` with nothing in it that the tokenizer would take for the end of a turn."""
        text = text.encode("utf-8", "replace").decode("utf-8")
        for mark in self._marks:
            if len(mark) > 1 and mark in text:
                text = text.replace(mark, f"{mark[0]} {mark[1:]}")
        return text

    def _without_end(self, ids: list[int]) -> list[int]:
        """Some tokenizers close every text; a prompt is not at its end."""
        return ids[:-1] if ids and ids[-1] in self.ends and len(ids) > 1 else ids

    # --- replies of a given form

    @cached_property
    def _tokens(self) -> tuple[Any, list[bytes]]:
        """The vocabulary as xgrammar sees it, and the bytes of each token."""
        try:
            import xgrammar

            info = xgrammar.TokenizerInfo.from_huggingface(
                self.tokenizer, vocab_size=self.logits, stop_token_ids=sorted(self.ends) or None
            )
        except (ImportError, ValueError) as error:
            raise SchemaUnsupported(
                f"{self.name} cannot be held to a schema ({error}); put it into the prompt, "
                "or run pip install 'scholar[local]'."
            ) from None
        return xgrammar.GrammarCompiler(info, max_threads=1), info.decoded_vocab

    @cached_property
    def _by_bytes(self) -> dict[bytes, int]:
        texts = self._tokens[1][: self.vocabulary]
        return {t: n for n, t in enumerate(texts) if t and n not in self.silent}

    @cached_property
    def wordy(self) -> torch.Tensor:
        """A mask, in xgrammar's form, of the tokens that are text."""
        bits = torch.full(((self.logits + 31) // 32 * 32,), True)
        bits[list(self.silent)] = False
        powers = torch.tensor([1 << n for n in range(32)], dtype=torch.int64)
        words = (bits.view(-1, 32) * powers).sum(dim=1)
        return torch.where(words >= 1 << 31, words - (1 << 32), words).to(torch.int32)

    def bytes_of(self, token: int) -> bytes:
        """The bytes that a token stands for."""
        return self._tokens[1][token]

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
        """The grammar of a JSON schema in this vocabulary; SchemaUnsupported where it has none."""
        key = json.dumps(schema)
        if key not in self._grammars:
            self._grammars[key] = self._compiled(Schema(schema))
        return self._grammars[key]

    def _compiled(self, schema: Schema) -> Grammar:
        walk = Walk(schema, self._spell)
        if walk.start.closing is None:
            raise SchemaUnsupported(
                f"The vocabulary of {self.name} cannot spell the schema; put it into the prompt."
            )
        return Grammar(self._tokens[0].compile_grammar(schema.ebnf), walk)


@dataclass(frozen=True, slots=True)
class Grammar:
    """A schema made ready: `compiled` for masks, `walk` for the way to the end."""

    compiled: Any
    walk: Walk


def _plain(turns: Sequence[dict[str, str]]) -> str:
    """A conversation for a model that has no form for one."""
    return "".join(f"{turn['role']}:\n{turn['content']}\n\n" for turn in turns) + "assistant:\n"


def _without_system(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    """The conversation with what the system says at the head of the first other turn."""
    system = "\n\n".join(turn["content"] for turn in turns if turn["role"] == "system")
    rest = [dict(turn) for turn in turns if turn["role"] != "system"]
    if rest and system:
        rest[0]["content"] = f"{system}\n\n{rest[0]['content']}"
    return rest or turns
