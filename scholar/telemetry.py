"""Whether and where OpenTelemetry is sent. Off unless an endpoint is set; then see `scholar.spans`.

The endpoint is `otlp.endpoint`, or that of OpenTelemetry's own variables. Where the settings say
`offline`, nothing is sent but to this machine itself. This module loads nothing of OpenTelemetry;
`scholar.spans` and `scholar.otlp` do, and are loaded when there is something to send.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from scholar.backends import is_loopback
from scholar.settings import Settings

if TYPE_CHECKING:
    from scholar.spans import Telemetry

Signal = Literal["traces", "metrics"]
_PREFIX = "OTEL_EXPORTER_OTLP_"
_ADDRESS = re.compile(r"https?://[^\s/]+\S*")


@dataclass(frozen=True, slots=True)
class Target:
    """Where each signal goes, and with which headers; an empty address is nowhere.

    `trouble` says in a sentence what of the environment cannot be followed.
    """

    traces: str = ""
    metrics: str = ""
    trouble: str = ""

    def __bool__(self) -> bool:
        return bool(self.traces or self.metrics)


def open_telemetry(
    settings: Settings, on_notice: Callable[[str], None] = lambda _: None
) -> Telemetry | None:
    """What sends the telemetry of runs, or None where nothing is to be sent.

    `on_notice` gets a sentence where the environment asks for what is not to be had, or where a
    collector does not take what it is sent; no run is the worse for it.
    """
    target = target_of(settings)
    if target.trouble:
        on_notice(target.trouble)
    if not target:
        return None
    from scholar.spans import Telemetry

    return Telemetry(settings, target, on_notice)


def target_of(settings: Settings) -> Target:
    """Where telemetry is to be sent, by the settings and the environment."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Target()
    traces, metrics = _address("traces", settings), _address("metrics", settings)
    target = Target(traces, metrics, _trouble(settings, traces, metrics))
    return Target(trouble=target.trouble) if target.trouble else target


def variable(name: str, signal: Signal) -> str:
    """An OTEL_EXPORTER_OTLP_ variable, that of the signal before the common one."""
    own = os.environ.get(f"{_PREFIX}{signal.upper()}_{name}", "")
    return (own or os.environ.get(f"{_PREFIX}{name}", "")).strip()


def _address(signal: Signal, settings: Settings) -> str:
    exporters = os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip() or "otlp"
    if "otlp" not in exporters.split(","):
        return ""
    own = os.environ.get(f"{_PREFIX}{signal.upper()}_ENDPOINT", "").strip()
    base = settings.otlp.endpoint or os.environ.get(f"{_PREFIX}ENDPOINT", "").strip()
    address = own if own and not settings.otlp.endpoint else _below(base, signal)
    if settings.offline and not is_loopback(address):
        return ""
    return address


def _below(base: str, signal: Signal) -> str:
    return f"{base.rstrip('/')}/v1/{signal}" if base else ""


def _trouble(settings: Settings, *addresses: str) -> str:
    """Why nothing can be sent although that is asked for, as a sentence."""
    if not any(addresses) or settings.otlp.endpoint:
        return ""
    advice = "set it to http/protobuf and the endpoint to the collector's port for that, often 4318"
    protocol = variable("PROTOCOL", "traces")
    if protocol not in ("", "http/protobuf"):
        return f"No telemetry is sent: {_PREFIX}PROTOCOL is {protocol}, unknown here; {advice}."
    if not all(_ADDRESS.fullmatch(address) for address in addresses if address):
        return (
            f"No telemetry is sent: {_PREFIX}ENDPOINT is no address; "
            "write it as http://localhost:4318."
        )
    return ""
