"""Who plays a role: the chain of its models, each opened once, with what is known of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import cast, get_args
from urllib.parse import urlsplit

from scholar.backends import NAME_AT_URL, Backend, Learner, open_backend, split_model_id
from scholar.backends.facts import Facts, FactsFile
from scholar.backends.limits import Lane
from scholar.backends.pace import Pace
from scholar.errors import ModelUnavailable, SettingsError
from scholar.settings import Role, Settings

Given = Mapping[str, Backend | Sequence[Backend]]
REST = 60.0
"""Seconds in which a model that was unavailable is passed over where another can stand in."""


class Member:
    """One model of a chain.

    `id` is fit to be shown and kept: it has no password that may stand in a URL. `address` is the
    full id, None for a backend that was handed over, of which nobody knows what stands behind it.
    """

    def __init__(self, backend: Backend, lane: Lane, id: str, address: str | None = None) -> None:
        self.backend = backend
        self.lane = lane
        self.id = id
        self.address = address
        self.facts = Facts()
        self._down: tuple[float, ModelUnavailable] | None = None

    @property
    def name(self) -> str:
        """The model's bare name, as prices and ledger know it."""
        return self.backend.name

    @property
    def revision(self) -> str:
        """Which weights these are, where the backend knows."""
        return str(getattr(self.backend, "revision", ""))

    def rest(self, error: ModelUnavailable) -> None:
        """Note that the model was not available just now."""
        self._down = (time.monotonic() + REST, error)

    @property
    def resting(self) -> ModelUnavailable | None:
        """Why the model is better passed over for now, if it is."""
        if self._down is None or time.monotonic() >= self._down[0]:
            return None
        return ModelUnavailable(str(self._down[1]))


class Roster:
    """The models of all roles. `given` backends come before those that `settings` name."""

    def __init__(self, settings: Settings, given: Given, facts: FactsFile) -> None:
        self._settings = settings
        self._facts = facts
        self._given = {role: _several(backends) for role, backends in given.items()}
        self._opened: dict[str, Member] = {}
        self._handed: dict[int, Member] = {}
        self._opening = threading.Lock()

    def has_models(self) -> bool:
        """Whether every role has a model."""
        return all(self.model_name(role) is not None for role in get_args(Role))

    def model_name(self, role: str) -> str | None:
        """The bare name of the model that plays `role` first, or None where there is none."""
        if given := self._given_to(role):
            return given[0].name
        model_id = self._settings.model_for(cast(Role, role))
        return None if model_id is None else split_model_id(model_id)[0]

    def chain(self, role: str) -> Sequence[Backend | str]:
        """The backends, or ids of models, that play `role`; SettingsError where there are none."""
        chain = self._given_to(role) or self._settings.chain_for(cast(Role, role))
        if not chain:
            raise SettingsError(
                f"No model plays the {role}; set SCHOLAR_MODEL, or model in scholar.toml, "
                "to one such as openai:gpt-5-mini."
            )
        return chain

    def member(self, model: Backend | str) -> Member:
        """The member for a backend, or for a model id, whose backend is opened at first.

        May be called from several threads. Raises what `open_backend` raises.
        """
        with self._opening:
            if not isinstance(model, str):
                if id(model) not in self._handed:
                    self._handed[id(model)] = Member(model, self._lane(model.name), model.name)
                return self._handed[id(model)]
            if model not in self._opened:
                self._opened[model] = self._open(model)
            return self._opened[model]

    def learn(self, member: Member, pace: Pace) -> None:
        """Keep the new pace of a model, and what its backend has learned by now."""
        facts = member.facts.model_copy(update={"pace": pace})
        if isinstance(member.backend, Learner):
            facts = facts.after(member.backend.learned)
        self.note(member, facts)

    def note(self, member: Member, facts: Facts) -> None:
        """Keep what has been found out about a model."""
        member.facts = facts
        if isinstance(member.backend, Learner):
            member.backend.recall(facts.learned)
        if member.address is not None:
            self._facts.put(member.id, facts)

    def forget(self, model_id: str) -> None:
        """Know nothing of the server of a model but its pace, so that it can be found out anew."""
        known = self._facts.get(public_id(model_id))
        if known != Facts():
            self._facts.put(public_id(model_id), Facts(pace=known.pace))

    async def aclose(self) -> None:
        """Close the backends that were opened here."""
        while self._opened:
            await self._opened.popitem()[1].backend.aclose()

    def _given_to(self, role: str) -> Sequence[Backend]:
        return self._given.get(role) or self._given.get("*", ())

    def _open(self, model_id: str) -> Member:
        backend = open_backend(model_id, self._settings)
        member = Member(backend, self._lane(backend.name), public_id(model_id), model_id)
        member.facts = self._facts.get(member.id)
        if isinstance(backend, Learner):
            backend.recall(member.facts.learned)
        return member

    def _lane(self, name: str) -> Lane:
        return Lane(self._settings.limit_of(name))


def shown(model: Backend | str) -> str:
    """What a person is told of a model: its public id, or a given backend's name."""
    return public_id(model) if isinstance(model, str) else model.name


def public_id(model_id: str) -> str:
    """The id without what may be secret in its URL: a user's name, a password, a query."""
    match = NAME_AT_URL.match(model_id)
    if match is None:
        return model_id
    parts = urlsplit(match["url"])
    host = parts.netloc.rpartition("@")[2]
    return f"{match['name']}@{parts.scheme}://{host}{parts.path}"


def _several(backends: Backend | Sequence[Backend]) -> Sequence[Backend]:
    return tuple(backends) if isinstance(backends, Sequence) else (backends,)
