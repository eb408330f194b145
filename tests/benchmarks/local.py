"""Replies at once from a model on this machine: `python tests/benchmarks/local.py`.

The models have random weights, since speed does not depend on their values: one of 13 million on
the CPU, and where there is a GPU one of 8 billion. `--rehearse` goes the GPU's way on the CPU, with
a tiny one, whose figures mean nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import models
import torch
from pydantic import ValidationError

from scholar.backends import Message, Request
from scholar.backends.local import LocalBackend, accelerator, loading
from scholar.backends.local.weights import Weights
from scholar.backends.schema import strict_schema
from scholar.errors import ReplyInvalid
from scholar.settings import Settings

TOKENS = 64
"""Tokens of each reply: about a juror's."""
ROUNDS = 3
SIZES = (1, 4, 16)
OF_EACH_FORM = 4
"""Replies asked for: with every form that the agents have and three models, more than 500."""
EVIDENCE = "Graph walks rank passages by the links of their entities. " * 58
"""It makes a prompt as long as a juror's, whose template, draft and quotes are 10,000 characters:
2,500 tokens, though of a tokenizer that knows few words."""
TINY = {
    "vocab_size": 800,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "initializer_range": 0.3,
}
SMALL = TINY | {
    "hidden_size": 512,
    "intermediate_size": 1_536,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "head_dim": 64,
}
"""Its 50 MB are more than a processor keeps in its caches, as those of any model in use are."""
EIGHT_BILLION = {
    "vocab_size": 151_936,
    "hidden_size": 4_096,
    "intermediate_size": 12_288,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
}
"""As Qwen3-8B is made."""
COPIED = {"cuda": 1 << 30, "cpu": 1 << 26}
"""Bytes copied to measure a memory: more than any cache of the device holds."""
_open_weights = loading.open_weights
_new = itertools.count()


def main() -> None:
    torch.set_num_threads(1)  # so that a busy machine bends ratios less
    asked = argparse.ArgumentParser(description="Replies at once from a model on this machine.")
    asked.add_argument("--rehearse", action="store_true", help="go the GPU's way on the CPU")
    if asked.parse_args().rehearse:
        accelerator.is_accelerator = lambda device: True
        _report_accelerator("a rehearsal on the CPU, bfloat16", TINY, "cpu")
        return
    network = _network(SMALL, "cpu", torch.float32)
    count = sum(p.numel() for p in network.parameters()) / 1e6
    title = f"{count:.0f} million random weights on one CPU thread, float32"
    asyncio.run(_report(title, network, "cpu"))
    asyncio.run(_report_forms("cpu"))
    if torch.cuda.is_available():
        title = f"8 billion random weights on {torch.cuda.get_device_name()}, bfloat16"
        _report_accelerator(title, EIGHT_BILLION, "cuda")


def _report_accelerator(title: str, shape: dict[str, Any], device: str) -> None:
    network = _network(shape, device, torch.bfloat16)
    rates, booked = asyncio.run(_report(title, network, device))
    print(f"Of the time that 16 at once took, {booked:.0%} were booked as GPU-seconds.")
    _report_bandwidth(network, device, rates)
    asyncio.run(_report_forms(device))


async def _report(title: str, network: Any, device: str) -> tuple[dict[int, float], float]:
    """Prints the figures; returns tokens per second by replies at once, and the share booked."""
    _serve(network, torch.device(device))
    settings: dict[str, Any] = {"device": device, "max_batch": max(SIZES)}
    backend = LocalBackend("random", Settings(offline=True, local=settings))
    await _timed(backend, [_question() for _ in range(max(SIZES))], together=True)
    print(f"### Local model: {title}\n")
    print(f"Replies of {TOKENS} tokens, median of {ROUNDS} rounds; at the start, the load of the")
    print(f"machine was {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.\n")
    print("| replies at once | tokens/s | to one = 1 |\n|---|---|---|")
    rates = {size: await _rate(backend, size) for size in SIZES}
    for size, rate in rates.items():
        print(f"| {size} | {rate:,.0f} | {rate / rates[1]:.1f} |")
    turn, once = await _median(backend, 16, together=False), await _median(backend, 16)
    print(f"\n16 at once take {once / turn:.2f} × the time of 16 in turn (at most 0.35 is wanted).")
    one, five = await _jury(backend, 1), await _jury(backend, 5)
    tokens = len(models.tokenizer("bytes")(_brief(0, 0).messages[0].content)["input_ids"])
    print(f"A jury of five takes {five / one:.2f} × the time of one juror (at most 1.5), with")
    print(f"prompts of {tokens} tokens, which differ in the last few.", flush=True)
    elapsed, _, booked = await _timed(backend, [_question() for _ in range(16)], together=True)
    await backend.aclose()
    return rates, booked / elapsed


def _question() -> Request:
    text = f"Question {next(_new)}: how do graph walks rank?"
    return Request((Message("user", text),), max_tokens=TOKENS)


def _brief(case: int, juror: int) -> Request:
    text = f"Case {case}. {EVIDENCE} You are juror {juror}."
    return Request((Message("user", text),), max_tokens=TOKENS)


async def _median(backend: LocalBackend, size: int, *, together: bool = True) -> float:
    return statistics.median(
        [
            (await _timed(backend, [_question() for _ in range(size)], together=together))[0]
            for _ in range(ROUNDS)
        ]
    )


async def _rate(backend: LocalBackend, size: int) -> float:
    rounds = [
        await _timed(backend, [_question() for _ in range(size)], together=True)
        for _ in range(ROUNDS)
    ]
    return statistics.median([tokens / seconds for seconds, tokens, _ in rounds])


async def _jury(backend: LocalBackend, size: int) -> float:
    numbers = [next(_new) for _ in range(ROUNDS)]
    cases = [[_brief(number, juror) for juror in range(size)] for number in numbers]
    return statistics.median([(await _timed(backend, case, together=True))[0] for case in cases])


async def _timed(
    backend: LocalBackend, requests: Sequence[Request], *, together: bool
) -> tuple[float, int, float]:
    """Seconds, tokens written, and seconds of a GPU. Each token is read back from the device."""
    began = time.perf_counter()
    if together:
        replies = await asyncio.gather(*(_ask(backend, request) for request in requests))
    else:
        replies = [await _ask(backend, request) for request in requests]
    elapsed = time.perf_counter() - began
    written = [tokens for tokens, _ in replies]
    assert set(written) == {TOKENS}, "a reply ended before its time"
    return elapsed, sum(written), sum(seconds for _, seconds in replies)


async def _ask(backend: LocalBackend, request: Request) -> tuple[int, float]:
    written, seconds = 0, 0.0
    try:
        async for delta in backend.stream(request):
            written = delta.tokens.output if delta.tokens else written
            seconds = delta.gpu_seconds or seconds
    except ReplyInvalid:
        pass  # it is cut off where it should be
    return written, seconds


def _network(shape: dict[str, Any], device: str, dtype: torch.dtype) -> Any:
    """A model as Qwen3 is one, with random weights made where they are used."""
    import transformers

    made: Any = transformers
    torch.manual_seed(0)
    config = made.Qwen3Config(
        **shape,
        max_position_embeddings=models.WINDOW,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.device(device):
        network = made.AutoModelForCausalLM.from_config(config, dtype=dtype)
    return network.eval().requires_grad_(False)


def _serve(network: Any, device: torch.device) -> None:
    """Have the next backend that is opened serve `network`, whose replies end by their bound."""
    tokenizer = copy.deepcopy(models.tokenizer("bytes"))
    tokenizer.chat_template = models.CHATML
    tokenizer.eos_token = None

    def opened(name: str, *_: Any, **__: Any) -> Weights:
        return Weights(name, network, tokenizer, device)

    loading.open_weights = opened


def _report_bandwidth(network: Any, device: str, rates: dict[int, float]) -> None:
    """What of the memory's bandwidth is used: all weights and all keys are read for every step."""
    config = network.config
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    weights -= network.get_input_embeddings().weight.nbytes  # of which only rows are read
    each = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
    each *= network.get_input_embeddings().weight.element_size()
    prompt = len(models.tokenizer("bytes")(_question().messages[0].content).input_ids)
    limit = _bandwidth(device)
    print(f"\n| replies at once | of {limit / 1e12:.3f} TB/s |\n|---|---|")
    for size, rate in rates.items():
        read = weights + size * each * (prompt + TOKENS / 2)
        print(f"| {size} | {rate / size * read / limit:.1%} |")
    print("\nThe limit was measured by copying; reading prompts counts as time, not as bytes.")


def _bandwidth(device: str) -> float:
    """Bytes per second that the device's memory reads and writes, as a copy finds it."""
    source = torch.ones(COPIED[device], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    _finish(device)
    began = time.perf_counter()
    for _ in range(20):
        target.copy_(source)
    _finish(device)
    return 20 * 2 * source.numel() / (time.perf_counter() - began)


def _finish(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


async def _report_forms(device: str) -> None:
    """How many replies of random models have the form that an agent asks for."""
    print(f"\n### Local model: replies held to a schema, {device}\n")
    print("| model like | valid | of |\n|---|---|---|")
    loading.open_weights = _open_weights
    with tempfile.TemporaryDirectory() as folder:
        for kind in models.KINDS:
            backend = models.backend(models.make(Path(folder) / kind, kind), device=device)
            asked = [(form, n) for n in range(OF_EACH_FORM) for form in models.REPLIES]
            valid = await asyncio.gather(*(_is_valid(backend, *one) for one in asked))
            print(f"| {kind} | {sum(valid)} | {len(valid)} |", flush=True)
            await backend.aclose()
    print()


async def _is_valid(backend: LocalBackend, form: str, number: int) -> bool:
    request = Request(
        (Message("user", f"Question {number}: how do graph walks rank?"),),
        schema=strict_schema(models.REPLIES[form]),
        schema_name=form,
        max_tokens=160 + number,
        temperature=(0.0, 0.7, 1.3)[number % 3],
        seed=number,
    )
    try:
        text = "".join([delta.text async for delta in backend.stream(request)])
        models.REPLIES[form].model_validate_json(text)
    except (ReplyInvalid, ValidationError):
        return False
    return True


if __name__ == "__main__":
    main()
