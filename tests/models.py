"""Tiny models with random weights, made here: three architectures people run, and rarer ones."""

from __future__ import annotations

import functools
import json
import warnings
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from scholar import testing
from scholar.backends.local import LocalBackend
from scholar.settings import Settings

KINDS = ("llama", "qwen", "gemma")
STATEFUL = ("mamba", "hybrid")
"""Models that carry a state along: one wholly, one in half of its layers."""
TWO_PART = ("t5", "bart")
"""Models of an encoder and a decoder."""
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
THINKING = CHATML.replace(
    "assistant\n{%", "assistant\n{% if enable_thinking %}<think>\n{% endif %}{%"
)
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
) + CHATML
REPLIES: dict[str, type[BaseModel]] = {f"{r.__module__}{r.__name__}": r for r in testing.REPLIES}
"""Every form of reply that the agents ask for, and some more."""
_LINES = [
    '{"steps": [{"question": "How?", "query": "graph walks"}], "ok": true}',
    "You are one of several jurors. The capital of France is Paris; what is it of Spain?",
    "user:\nassistant:\nsystem: yes no sure unsure",
] * 4
_SPECIAL = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "[MASK]", "<pad>"]
WINDOW = 16_384
_HALF_LINEAR = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "initializer_range": 0.3,
    "shared_expert_intermediate_size": 32,
}
_T5 = {
    "d_model": 64,
    "d_kv": 16,
    "d_ff": 128,
    "num_layers": 2,
    "num_heads": 4,
    "initializer_factor": 3.0,
}
_BART = {
    "d_model": 64,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128,
    "init_std": 0.6,
    "forced_eos_token_id": None,
}


@functools.cache
def tokenizer(style: str) -> Any:
    """A small tokenizer: by bytes as most have, or by pieces with their own mark for spaces."""
    import tokenizers as t
    from tokenizers import decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    if style == "bytes":
        made = t.Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        letters = pre_tokenizers.ByteLevel.alphabet()
        extra = []
    else:
        made = t.Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        made.decoder = decoders.Sequence(
            [
                decoders.Replace("▁", " "),
                decoders.ByteFallback(),
                decoders.Fuse(),
                decoders.Strip(" ", 1, 0),
            ]
        )
        letters = [chr(n) for n in range(33, 127)]
        extra = [f"<0x{n:02X}>" for n in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=_SPECIAL + extra, initial_alphabet=letters
    )
    made.train_from_iterator(_LINES, trainer)
    # Bytes are tokens like others, though the trainer takes them in as special ones.
    described = json.loads(made.to_str())
    described["added_tokens"] = [a for a in described["added_tokens"] if a["content"] not in extra]
    made = t.Tokenizer.from_str(json.dumps(described))
    made.add_tokens(["<think>", "</think>"])
    fast: Any = PreTrainedTokenizerFast
    return fast(
        tokenizer_object=made,
        bos_token="<s>",
        eos_token="<|im_end|>",
        unk_token="<unk>",
        mask_token="[MASK]",
        pad_token="<pad>",
        model_max_length=WINDOW,
    )


def make(
    folder: Path,
    kind: str = "llama",
    template: str | None = CHATML,
    seed: int = 0,
    **shape: Any,
) -> Path:
    """A folder with a model of random weights and its tokenizer; `shape` changes its config."""
    import torch
    import transformers

    torch.manual_seed(seed)
    tokens = tokenizer("pieces" if kind == "gemma" else "bytes")
    size = {
        # More logits than words, as models that pad their vocabulary have.
        "vocab_size": len(tokens) + 41,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": WINDOW,
        "initializer_range": 0.6,  # so that what comes first matters to what comes next
        "tie_word_embeddings": False,  # tied and random, some only repeat themselves
        "bos_token_id": tokens.bos_token_id,
        "eos_token_id": tokens.eos_token_id,
        "pad_token_id": tokens.pad_token_id,
    }
    kinds: dict[str, tuple[str, str, dict[str, Any]]] = {
        "llama": ("LlamaConfig", "LlamaForCausalLM", {}),
        "qwen": ("Qwen3Config", "Qwen3ForCausalLM", {}),
        "gemma": ("Gemma2Config", "Gemma2ForCausalLM", {"sliding_window": 24}),
        "mamba": ("MambaConfig", "MambaForCausalLM", {"state_size": 4}),
        "hybrid": ("Qwen3NextConfig", "Qwen3NextForCausalLM", _HALF_LINEAR),
        "t5": ("T5Config", "T5ForConditionalGeneration", _T5 | {"decoder_start_token_id": 6}),
        "bart": ("BartConfig", "BartForConditionalGeneration", _BART),
    }
    config, network, more = kinds[kind]
    made: Any = transformers
    getattr(made, network)(getattr(made, config)(**(size | more | shape))).save_pretrained(folder)
    tokens.chat_template = template
    tokens.save_pretrained(folder)
    return folder


def make_masked(folder: Path) -> Path:
    """A folder with a masked model of random weights, as ModernBERT is one."""
    import torch
    import transformers

    torch.manual_seed(0)
    tokens = tokenizer("bytes")
    made: Any = transformers
    config = made.ModernBertConfig(
        vocab_size=len(tokens),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        pad_token_id=tokens.pad_token_id,
        bos_token_id=tokens.bos_token_id,
        eos_token_id=tokens.eos_token_id,
        cls_token_id=tokens.bos_token_id,
        sep_token_id=tokens.eos_token_id,
    )
    made.ModernBertForMaskedLM(config).save_pretrained(folder)
    tokens.chat_template = None
    tokens.save_pretrained(folder)
    return folder


def adapt(base: Path, folder: Path, config: Any, seed: int = 3) -> Any:
    """An adapter of random weights for the model in `base`, saved in `folder`, and the model."""
    import peft
    import torch
    import transformers

    network: Any = transformers.AutoModelForCausalLM.from_pretrained(base)
    network.config.use_cache = False
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # between peft and transformers
        adapted: Any = peft.get_peft_model(network, config)
    for name, weights in adapted.named_parameters():
        if "prompt_encoder" in name:
            torch.nn.init.normal_(weights)
    adapted.eval().save_pretrained(str(folder))
    return adapted


def mix_experts(base: Path, folder: Path) -> Any:
    """An X-LoRA of two random experts for the model in `base`, in `folder`, and the model."""
    import peft

    for number in range(2):
        lora = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        adapt(base, folder / "experts" / str(number), lora, seed=3 + number)
    paths = {str(number): str(folder / "experts" / str(number)) for number in range(2)}
    config = peft.XLoraConfig(
        task_type="CAUSAL_LM", hidden_size=64, adapters=paths, layerwise_scalings=True
    )
    return adapt(base, folder, config)


def save_classifier(adapted: Any, folder: Path) -> None:
    """Save what mixes the experts, as peft does but for 0.21, where its name filter drops it."""
    from safetensors.torch import save_file

    state = adapted.state_dict().items()
    kept = {name: weights for name, weights in state if "internal_xlora_classifier" in name}
    save_file(kept, folder / "adapter_model.safetensors")


def backend(folder: Path, adapter: Path | None = None, **settings: Any) -> LocalBackend:
    """The model in `folder`, on the CPU and without a network."""
    local = {"device": "cpu", **settings}
    name = f"{folder}+{adapter}" if adapter else str(folder)
    return LocalBackend(name, Settings(offline=True, local=local))
