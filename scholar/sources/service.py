"""What a service is, what is asked of it, and what can be wrong with the answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from scholar.errors import SourceError


@dataclass(frozen=True, slots=True)
class Service:
    """A service as it is named in sentences, and as it wants to be asked.

    `setting` is the one that holds its address, `delay` the seconds between two requests. `extra`
    and `headers` go with every request and make no difference to what is answered. Hosts of one
    `pace` share their pauses. A `local` one is on this machine, so it may be asked offline.
    """

    name: str
    setting: str
    delay: float = 0.0
    extra: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    pace: str = ""
    local: bool = False
    hint: str = "check the connection, or '{setting}' in the settings"

    @property
    def what_to_do(self) -> str:
        """What a user may do where it cannot be reached."""
        return self.hint.format(setting=self.setting)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: a GET of `address`, or with `body` a POST of it as JSON."""

    service: Service
    address: str
    params: Mapping[str, str]
    body: Any = None

    @property
    def host(self) -> str:
        """The server, with its port where one is named."""
        try:
            return urlsplit(self.address).netloc
        except ValueError:  # no address at all, as the client will say
            return ""

    @property
    def pace(self) -> str:
        """What shares its pauses."""
        return self.service.pace or self.host

    @property
    def key(self) -> str:
        """What its answer is kept under."""
        asked = [self.address, sorted(self.params.items()), self.body]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


class Passing(SourceError):
    """A fault that may be gone at the next try."""


class OtherThing(SourceError):
    """What an address gave is not the file that was wanted."""


class Absent(Exception):
    """There is nothing at the address."""
