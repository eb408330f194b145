"""Replies at once from a model on this machine: `python tests/benchmarks/local.py`.

On a GPU a model of 8 billion random weights serves: speed does not depend on their values.
"""

from __future__ import annotations

import asyncio
import itertools
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

from scholar.backends import Message, Request
from scholar.backends.local import LocalBackend
from scholar.errors import ReplyInvalid
from scholar.settings import Settings

TOKENS = 96
ROUNDS = 5
SIZES = (1, 4, 16)
EVIDENCE = "Graph walks rank passages by the links of their entities. " * 20
_new = itertools.count()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        torch.set_num_threads(1)  # as for the tests: the model is tiny
        shape: dict[str, Any] = {
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "initializer_range": 0.3,
        }
        name = str(models.make(Path(folder), **shape))
        asyncio.run(_report(f"tiny model on one CPU thread, {TOKENS} tokens each", name, "cpu"))
    if torch.cuda.is_available():
        network = _eight_billion()
        title = f"8 billion random weights on {torch.cuda.get_device_name()}, bfloat16"
        asyncio.run(_report(title, "random/8B", "cuda", network))


async def _report(title: str, name: str, device: str, network: Any = None) -> None:
    if network is not None:
        _serve(network)
    settings: dict[str, Any] = {"device": device}
    backend = LocalBackend(name, Settings(offline=True, local=settings))
    await _timed(backend, [_question()], together=True)
    print(f"### Local model: {title}\n")
    print(
        f"Median of {ROUNDS} rounds.\n\n| replies at once | tokens/s | to one = 1 |\n|---|---|---|"
    )
    rates = {size: await _rate(backend, size) for size in SIZES}
    for size, rate in rates.items():
        print(f"| {size} | {rate:,.0f} | {rate / rates[1]:.1f} |")
    turn, once = await _median(backend, 16, together=False), await _median(backend, 16)
    print(f"\n16 at once take {once / turn:.2f} × the time of 16 in turn (at most 0.35 is wanted).")
    one, five = await _jury(backend, 1), await _jury(backend, 5)
    tokens = len(models.tokenizer("bytes")(_brief(0, 0).messages[0].content)["input_ids"])
    print(f"A jury of five takes {five / one:.2f} × the time of one juror (at most 1.5), with")
    print(f"prompts of {tokens} tokens, which differ in the last few.")
    if network is not None:
        _share(network, rates)
    print(flush=True)
    await backend.aclose()


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
    return statistics.median([tokens / seconds for seconds, tokens in rounds])


async def _jury(backend: LocalBackend, size: int) -> float:
    numbers = [next(_new) for _ in range(ROUNDS)]
    cases = [[_brief(number, juror) for juror in range(size)] for number in numbers]
    return statistics.median([(await _timed(backend, case, together=True))[0] for case in cases])


async def _timed(
    backend: LocalBackend, requests: Sequence[Request], *, together: bool
) -> tuple[float, int]:
    """Seconds, and tokens written."""
    began = time.perf_counter()
    if together:
        written = await asyncio.gather(*(_ask(backend, request) for request in requests))
    else:
        written = [await _ask(backend, request) for request in requests]
    return time.perf_counter() - began, sum(written)


async def _ask(backend: LocalBackend, request: Request) -> int:
    written = 0
    try:
        async for delta in backend.stream(request):
            written = delta.tokens.output if delta.tokens else written
    except ReplyInvalid:
        pass  # it is cut off where it should be
    return written


def _eight_billion() -> Any:
    """A model as Qwen3-8B is one, with random weights."""
    import transformers

    made: Any = transformers
    config = made.Qwen3Config(
        vocab_size=151_936,
        hidden_size=4_096,
        intermediate_size=12_288,
        num_hidden_layers=36,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
        max_position_embeddings=models.WINDOW,
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        network = made.Qwen3ForCausalLM(config)
    torch.set_default_dtype(before)
    return network.eval().requires_grad_(False)


def _serve(network: Any) -> None:
    """Have the next backend that is opened serve `network`."""
    from scholar.backends import weights

    def opened(name: str, *_: Any, **__: Any) -> weights.Weights:
        tokenizer = models.tokenizer("bytes")
        tokenizer.chat_template = models.CHATML
        return weights.Weights(name, network, tokenizer, torch.device("cuda"), False)

    weights.open_weights = opened


def _share(network: Any, rates: dict[int, float]) -> None:
    """What of the memory's bandwidth the weights alone take: all are read for every step."""
    size = sum(p.numel() * p.element_size() for p in network.parameters())
    size -= network.get_input_embeddings().weight.nbytes  # of which only rows are read
    limit = _bandwidth()
    for at_once, rate in rates.items():
        share = rate / at_once * size / limit
        print(f"\nWith {at_once} at once, {share:.0%} of the memory's bandwidth is used", end="")
    print(f" ({limit / 1e12:.2f} TB/s, measured by copying).")


def _bandwidth() -> float:
    """Bytes per second that the GPU's memory reads and writes, as a copy finds it."""
    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    target.copy_(source)
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(20):
        target.copy_(source)
    torch.cuda.synchronize()
    return 20 * 2 * source.numel() / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
