"""What can go wrong between the gateway and a server, injected by a server on loopback."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_server import Cut, Finish, ModelServer, Scripted, Stall, Status
from pydantic import BaseModel
from tenacity import wait_none

from scholar.backends import gateway as gateway_module
from scholar.backends.facts import Facts
from scholar.backends.gateway import Gateway
from scholar.backends.ledger import Ledger
from scholar.errors import ModelError
from scholar.events import Event, FellBack
from scholar.prompts import Prompt
from scholar.settings import Budget, Price, Settings
from scholar.values import Call

KEY = "sk-test-SECRET123"
PROMPT = Prompt("plan", "planner", 1, "You plan.", "Plan a trip.")
GOOD = '{"city": "Paris", "days": 3}'
BUSY = {"error": {"message": "Slow down", "code": "rate_limit_exceeded"}}
LONG = "This model's maximum context length is 4096 tokens."
OVERFLOW = {"error": {"message": LONG, "code": "context_length_exceeded"}}
DEAD = "nobody listens"
"""Instead of a script: the model's port is closed."""
PRICE = Price(input=1.0, output=10.0)


class Trip(BaseModel):
    city: str
    days: int


def _boom(status: int, words: str) -> Status:
    return Status(status, {"error": {"message": f"{words} {KEY}"}})


FAULTS: Mapping[str, Scripted] = {
    "429 with Retry-After": Status(429, BUSY, {"retry-after": "0.01"}),
    "429 without Retry-After": Status(429, BUSY),
    "500": _boom(500, "The server had an error."),
    "503": _boom(503, "Overloaded."),
    "refused connection": DEAD,
    "slow first token": Stall(""),
    "stall in mid-stream": Stall(GOOD[:12]),
    "connection cut in mid-stream": Cut(GOOD, 3),
    "truncated JSON": GOOD[:18],
    "valid JSON of the wrong shape": '{"town": "Paris"}',
    "empty content": "",
    "content filter": Finish(GOOD[:8], "content_filter"),
    "context overflow": Status(400, OVERFLOW),
}


@dataclass
class Felt:
    """What a fault came to: the error, if any, and all that is left behind."""

    error: ModelError | None = None
    reply: Trip | None = None
    calls: tuple[Call, ...] = ()
    events: list[Event] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    requests: int = 0
    paths: set[str] = field(default_factory=set)
    left: str = ""

    @property
    def sentence(self) -> str:
        """What the user is told, or, where another model stood in, what the notes say."""
        if self.error is not None:
            return str(self.error)
        return next(event.note for event in self.events if isinstance(event, FellBack))

    @property
    def failed(self) -> list[Call]:
        """The calls that did not end as they should."""
        return [call for call in self.calls if call.model == "tiny"]


@contextmanager
def impatient() -> Iterator[None]:
    """A call is tried again at once."""
    backoff = gateway_module._BACKOFF
    gateway_module._BACKOFF = wait_none()  # type: ignore[assignment]
    try:
        yield
    finally:
        gateway_module._BACKOFF = backoff


@contextmanager
def closed_port() -> Iterator[str]:
    """An address on this machine that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    yield f"http://127.0.0.1:{port}/v1"


async def feel(
    server: ModelServer, said: Scripted, home: Path, *, fall_back: bool, dialect: str = "chat"
) -> Felt:
    """Ask the model `tiny`, at which `said` goes wrong; with `fall_back`, `spare` answers.

    Where the `dialect` is "responses", both are known to be asked by them.
    """

    def script(body: dict[str, Any]) -> Scripted:
        return GOOD if body["model"] == "spare" else said

    responses = dialect == "responses"
    server.use(script, responses=script if responses else None)
    with closed_port() as nowhere:
        model = f"openai:tiny@{nowhere if said == DEAD else server.url}"
        chain = (model, f"openai:spare@{server.url}") if fall_back else (model,)
        settings = Settings(home=home, model=chain, api_key=KEY, silence=0.5)
        felt = Felt()
        ledger = Ledger(Budget(tokens=100_000), lambda _: PRICE)
        gateway = Gateway(settings, on_notice=felt.notices.append)
        for one in chain if responses else ():
            gateway.note(one, Facts(responses=True))
        try:
            with impatient():
                felt.reply = await gateway.ask(
                    PROMPT,
                    Trip,
                    ledger=ledger,
                    emit=felt.events.append,
                    on_text=felt.texts.append,
                )
        except ModelError as error:
            felt.error = error
            felt.left = "".join(traceback.format_exception(error))
        finally:
            await gateway.aclose()
    felt.calls, felt.requests = ledger.calls, len(server.requests)
    felt.paths = {request.path for request in server.requests}
    return felt


def kept(home: Path) -> bytes:
    """Everything that was written under `home`."""
    return b"".join(path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file())


def row(name: str, alone: Felt, chained: Felt) -> str:
    """The line of the table for one fault."""
    tokens = ", ".join(f"{c.input_tokens} + {c.output_tokens}" for c in alone.failed)
    events = [event for event in chained.events if isinstance(event, FellBack)]
    stood_in = "yes" if chained.reply and len(events) == 1 else "no"
    return f"| {name} | {_public(alone.sentence)} | {len(alone.failed)} | {tokens} | {stood_in} |"


def _public(sentence: str) -> str:
    """The sentence with the port, which is another each time, named PORT."""
    head, colon, rest = sentence.partition("127.0.0.1:")
    if not colon:
        return sentence
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return f"{head}127.0.0.1:PORT{_public(rest[digits:])}"


HEAD = """# Faults

What happens when a model server misbehaves, made by `python tests/benchmarks/faults.py
> docs/faults.md` from the faults that `tests/test_faults.py` injects with a server on loopback; a
test holds this page to what the command prints. The request is that of the tests, with a silence of
0.5 s; a chain of two models is configured for the last column. Chat completions and responses come
to the same, so that the table has them once.

No fault ends in half an answer taken for a whole one: a reply counts once its stream has ended as
the protocol says and it fits its schema. Every attempt is in the ledger, as prompt + reply tokens:
those that the server reported, else an estimate from the text sent and received; a connection that
was refused used none. What a fault leaves behind (errors, events, files, logs) never holds the key.

| fault | what the user sees | attempts | tokens in the ledger | the fall-back took over |
|---|---|---|---|---|
"""


async def table(server: ModelServer, home: Path, dialect: str = "chat") -> str:
    """The whole page, as it comes out where the models are asked in `dialect`."""
    rows = []
    for name, said in FAULTS.items():
        alone = await feel(server, said, home / "alone" / name, fall_back=False, dialect=dialect)
        chained = await feel(server, said, home / "chain" / name, fall_back=True, dialect=dialect)
        rows.append(row(name, alone, chained))
    return HEAD + "\n".join(rows) + "\n"
