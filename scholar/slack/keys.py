"""The secrets by which Slack and the bot know each other."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Self

from pydantic import SecretStr

from scholar.settings import Settings


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """What there is of them. `config` lets the app's own set-up be read."""

    bot: str | None
    app: str | None
    signing: str | None
    config: str | None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those of the settings, else those in the environment under Slack's own names."""
        slack = settings.slack
        return cls(
            _secret(slack.bot_token, "SLACK_BOT_TOKEN"),
            _secret(slack.app_token, "SLACK_APP_TOKEN"),
            _secret(slack.signing_secret, "SLACK_SIGNING_SECRET"),
            _secret(slack.config_token, "SLACK_CONFIG_TOKEN"),
        )


def _secret(given: SecretStr | None, name: str) -> str | None:
    return (given.get_secret_value() if given else os.environ.get(name, "")).strip() or None
