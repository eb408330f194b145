"""What an OpenAI-compatible server means when it answers with a complaint instead of a reply.

Servers differ in the shape of their errors, so what is decided here rests on the status, on the
error's `code`, `type` and `param` where they are given, and on its words.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import mktime_tz, parsedate_tz

from scholar.backends.dialect import Dialect
from scholar.errors import ModelError, ModelRefused, ModelRejected, ModelUnavailable

_SHOWN = 200
_ECHOES = frozenset({"input", "ctx", "url"})
"""Where validating servers repeat the request; its words are not theirs."""
_PASSING = frozenset({408, 409, 425, 429})
_TOO_LONG = re.compile(
    r"context_length_exceeded|(context|prompt|input)\W+(length|window|size)|too many tokens"
    r"|exceed_context|(prompt|input|message)s? (is|are) too long"
)
_NO_CREDIT = re.compile(r"insufficient_(quota|balance|funds)|insufficient (balance|credit|quota)")
_FILTERED = re.compile(
    r"content_(filter|policy)|responsibleaipolicy|moderation_blocked"
    r"|invalid_prompt|(bio|usage)[_ ]polic|policy_violation"
)
_KEY_REFUSED = re.compile(r"invalid_api_key|authentication|incorrect api key|permission_denied")
_NOT_FOUND = re.compile(r"model_not_found|not_found_error")
_REQUEST_AT_FAULT = re.compile(r"invalid_request|invalid_value|unsupported|bad_request")
_SCHEMA = re.compile(r"response_format|json_?schema|structured.?output|grammar|guided")
_WORDS = frozenset({"text", "store"})
_NO_PATH = frozenset({404, 405, 501})
_SHORTEST_KEY = 8
"""What is shorter is a placeholder such as "ollama", and may be a word of the message."""
_SECRET = re.compile(r"\b(sk|pk|rk|gsk|xai|nvapi|hf)[-_][\w*.-]{4,}|\bbearer\s+\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Where:
    """Which model was asked, at which host, and the key that no message may show."""

    model: str
    host: str
    key: str = field(repr=False)
    key_setting: str

    def __str__(self) -> str:
        return f"{self.model} at {self.host}"

    def hide(self, text: str) -> str:
        """`text` without the key, or anything that looks like one."""
        if len(self.key) >= _SHORTEST_KEY:
            text = text.replace(self.key, "(key)")
        return _SECRET.sub("(key)", text)


@dataclass(frozen=True, slots=True)
class Complaint:
    """An error as the server put it. `status` is None for one that came inside a stream."""

    status: int | None
    body: object
    retry_after: float | None = None

    @property
    def words(self) -> str:
        """Everything the server says, in small letters."""
        return " ".join(_strings(self.body)).lower()

    @property
    def effective_status(self) -> int:
        """The status, or the one that the error's code stands for; 0 where there is none."""
        if self.status is not None:
            return self.status
        code = self.field("code")
        return int(code) if re.fullmatch(r"[45]\d\d", code) else 0

    @property
    def is_page(self) -> bool:
        """Whether this is a web page, so not from a model server at all."""
        return isinstance(self.body, str) and self.body.lstrip().startswith("<")

    def field(self, name: str) -> str:
        """One field of the error as text, empty where it is not given."""
        value = self.body.get(name) if isinstance(self.body, Mapping) else None
        return "" if value is None else str(value)

    def shown(self, where: Where) -> str:
        """The status and the server's words, as a short piece of a sentence."""
        status = f"status {self.effective_status}" if self.effective_status else "an error"
        text = self.field("message") or " ".join(_strings(self.body))
        if self.is_page or not text.strip():
            return status
        line = where.hide(" ".join(text.split())).rstrip(".")
        return f"{status}: {line if len(line) <= _SHOWN else line[:_SHOWN] + '…'}"


def refused_parameter(complaint: Complaint, sent: Iterable[str], schema: str) -> str | None:
    """The one of the `sent` parameters that the server will not take, if that is the complaint.

    `schema` is the one that carries a JSON schema.
    """
    words = complaint.words
    if complaint.status not in (400, 422, 501) or _TOO_LONG.search(words):
        return None
    sent = list(sent)
    if param := complaint.field("param"):
        named = [part for part in re.split(r"\W+", param) if part not in ("", "body")]
        return next((name for name in sent if name in named[:1]), None)
    if schema in sent and _SCHEMA.search(words):
        return schema
    return next((name for name in sent if _names(name).search(words)), None)


def wants_another(complaint: Complaint, asked: Dialect, other: Dialect) -> bool:
    """Whether the server will not be asked as it was, and may well take the other dialect."""
    if complaint.status not in (400, 422, *_NO_PATH):
        return False
    if other.called.search(complaint.words):
        return True
    return asked.name == "responses" and complaint.status in _NO_PATH


def _names(parameter: str) -> re.Pattern[str]:
    """What finds a parameter in a complaint; one that is a word of English only as a name."""
    if parameter not in _WORDS:
        return re.compile(rf"\b{parameter}\b")
    return re.compile(rf"['\"`]{parameter}\b|\b{parameter}\.\w|\bbody {parameter}\b")


def as_error(complaint: Complaint, where: Where) -> ModelError:
    """The error to raise for `complaint`."""
    refusal = _refusal(complaint, where)
    if refusal is not None:
        return refusal
    status = complaint.effective_status
    if status == 429:
        return ModelUnavailable(
            f"{where} takes no more requests for now ({complaint.shown(where)}); try again later.",
            retry_after=complaint.retry_after,
        )
    at_fault = 300 <= status < 500 or bool(_REQUEST_AT_FAULT.search(complaint.words))
    if at_fault and status not in _PASSING:
        return ModelRejected(
            f"{where} refuses the request ({complaint.shown(where)}); "
            "check the model's name and URL, or choose another model."
        )
    return ModelUnavailable(
        f"{where} could not answer ({complaint.shown(where)}); try again later.",
        retry_after=complaint.retry_after,
    )


def _refusal(complaint: Complaint, where: Where) -> ModelError | None:
    """The error for a complaint that has a remedy of its own."""
    status, words, shown = complaint.effective_status, complaint.words, complaint.shown(where)
    if complaint.is_page and 200 <= status < 500 and status not in _PASSING:
        return not_a_model_server(where)
    if status == 402 or _NO_CREDIT.search(words):
        return ModelRejected(
            f"The account at {where.host} has no credit for {where.model} ({shown}); "
            "top it up, or choose another model."
        )
    if status in (401, 403) or (status <= 400 and _KEY_REFUSED.search(words)):
        key = "The key was refused" if where.key else "A key is wanted"
        return ModelRejected(f"{key} for {where} ({shown}); set {where.key_setting}.")
    if status >= 429:
        return None
    if _FILTERED.search(words):
        return ModelRefused(
            f"The filter of {where} declined the request ({shown}); "
            "rephrase the question, or choose another model."
        )
    if status == 413 or _TOO_LONG.search(words):
        return ModelRejected(
            f"The prompt is too long for {where} ({shown}); choose a model with a larger window, "
            "or set context_window to what this one takes."
        )
    if status == 404 or _NOT_FOUND.search(words):
        return ModelRejected(
            f"There is no {where} ({shown}); check the model's name, and the URL, "
            "which usually ends in /v1."
        )
    return None


def not_a_model_server(where: Where) -> ModelRejected:
    """The error for an address that answers with something other than a model's reply."""
    return ModelRejected(
        f"{where.host} did not answer for {where.model} as a model server does; "
        "check the URL, which usually ends in /v1."
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds a server asks to be left alone; None where it does not say."""
    for header, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        seconds = _number(headers.get(header, ""))
        if seconds is not None:
            return max(0.0, seconds * unit)
    date = parsedate_tz(headers.get("retry-after", ""))
    return None if date is None else max(0.0, mktime_tz(date) - time.time())


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _strings(body: object) -> Iterator[str]:
    if isinstance(body, Mapping):
        for key, value in body.items():
            if key not in _ECHOES:
                yield from _strings(value)
    elif isinstance(body, list):
        for value in body:
            yield from _strings(value)
    elif body is not None:
        yield str(body)
