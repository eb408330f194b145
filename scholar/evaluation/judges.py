"""Who judges published sentences: a model with a prompt, or a classifier of entailment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from scholar import prompts
from scholar.backends.chain import public_id
from scholar.backends.gateway import Gateway
from scholar.backends.ledger import Ledger
from scholar.backends.schema import Reply
from scholar.errors import SettingsError
from scholar.events import Called, Event
from scholar.settings import Budget, Settings
from scholar.values import Call

T = TypeVar("T", bound=BaseModel)

PROMPTS = ("entails", "reported")
"""The prompts of the judging model."""
NLI = "nli:"
"""How a judge begins that is a folder with a classifier."""
NOBODY = "none"
"""The judge that judges nothing."""
Text = tuple[str, str]
"""A title and what stands under it."""


class _Entails(Reply):
    why: str
    entailed: bool


class _Reported(Reply):
    first: bool
    second: bool


class Judge(Protocol):
    """Judges what was published. Raises ModelError where it cannot."""

    name: str

    async def entails(self, texts: Sequence[Text], statement: str) -> bool:
        """Whether `texts` together entail `statement`."""
        ...

    async def reported(
        self, question: str, lines: Sequence[str], answers: Sequence[str]
    ) -> tuple[bool, bool]:
        """Which of two answers the `lines` give, if only as what one source says."""
        ...


def judge_named(
    name: str, gateway: Gateway, settings: Settings, on_call: Callable[[Call], None]
) -> Judge | None:
    """The judge `name`: a model id, `nli:FOLDER`, `none`, or, empty, whatever plays the juror."""
    if name == NOBODY:
        return None
    if name.startswith(NLI):
        return Classifier(name.removeprefix(NLI))
    return JudgingModel(gateway, settings, name, on_call)


@dataclass(frozen=True, slots=True)
class _Shown:
    title: str
    text: str


class JudgingModel:
    """A model that is asked by prompt, one question at a time. `on_call` is told of each call."""

    def __init__(
        self, gateway: Gateway, settings: Settings, model: str, on_call: Callable[[Call], None]
    ) -> None:
        named = model or settings.model_for("juror")
        self.name = public_id(named) if named else gateway.model_name("juror") or ""
        self._gateway = gateway
        self._settings = settings
        self._model = model or None
        self._on_call = on_call

    async def entails(self, texts: Sequence[Text], statement: str) -> bool:
        """Whether the model says so."""
        shown = [_Shown(title, text) for title, text in texts]
        prompt = prompts.render("entails", texts=shown, statement=statement)
        said: _Entails = await self._ask(prompt, _Entails)
        return said.entailed

    async def reported(
        self, question: str, lines: Sequence[str], answers: Sequence[str]
    ) -> tuple[bool, bool]:
        """Which the model finds in all lines together."""
        prompt = prompts.render("reported", question=question, lines=lines, answers=answers)
        said: _Reported = await self._ask(prompt, _Reported)
        return said.first, said.second

    async def _ask(self, prompt: prompts.Prompt, reply: type[T]) -> T:
        # What judging costs is no part of the budget of an answer.
        ledger = Ledger(Budget(), self._settings.price_of)

        def emit(event: Event) -> None:
            if isinstance(event, Called):
                self._on_call(event.call)

        return await self._gateway.ask(prompt, reply, ledger=ledger, emit=emit, model=self._model)


class Classifier:
    """A cross-encoder for natural language inference, in a `folder` that transformers can load.

    Among its labels is one that begins with "entail". What is longer than its window is cut at
    the end of the texts. Raises SettingsError where it cannot be used.
    """

    def __init__(self, folder: str) -> None:
        self.name = f"{NLI}{folder}"
        self._folder = folder
        self._loaded: tuple[Any, Any, int] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def entails(self, texts: Sequence[Text], statement: str) -> bool:
        """Whether entailment is the likeliest label."""
        premise = "\n".join(f"{title}\n{text}".strip() for title, text in texts)
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._entails, premise, statement)

    async def reported(
        self, question: str, lines: Sequence[str], answers: Sequence[str]
    ) -> tuple[bool, bool]:
        """Which of the answers follow from any single line."""
        found = [False, False]
        for at, answer in enumerate(answers[:2]):
            for line in lines:
                found[at] = found[at] or await self.entails([("", line)], answer)
        return found[0], found[1]

    def _entails(self, premise: str, statement: str) -> bool:
        if self._loaded is None:
            self._loaded = _load(self._folder)
        tokens, network, label = self._loaded
        # Some tokenizers name no length, and some networks one that they do not reach.
        longest = min(tokens.model_max_length, network.config.max_position_embeddings)
        encoded = tokens(
            premise, statement, truncation="only_first", max_length=longest, return_tensors="pt"
        )
        return int(network(**encoded).logits[0].argmax()) == label


def _load(folder: str) -> tuple[Any, Any, int]:
    """The tokenizer, the network, and which of its labels is entailment."""
    try:
        import torch
        import transformers

        made: Any = transformers
        tokens = made.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        network = made.AutoModelForSequenceClassification.from_pretrained(
            folder, local_files_only=True
        ).eval()
    except (ImportError, OSError, ValueError) as error:
        raise SettingsError(
            f"No classifier can be loaded from '{folder}' ({error}); give the folder of one, "
            "install what it needs with pip install 'scholar[local]', or leave out --judge."
        ) from error
    network.forward = torch.inference_mode()(network.forward)
    names = network.config.id2label.items()
    labels = [int(n) for n, name in names if str(name).lower().startswith("entail")]
    if not labels:
        raise SettingsError(
            f"The classifier in '{folder}' has no label 'entailment'; name one for natural "
            "language inference."
        )
    return tokens, network, labels[0]
