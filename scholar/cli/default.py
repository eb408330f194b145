"""A group of commands of which one needs no name."""

from __future__ import annotations

from typing import Any, ClassVar

from typer.core import TyperGroup


class WithDefault(TyperGroup):
    """A group whose command `default` runs where no other of its commands is named."""

    default: ClassVar[str] = "propose"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the name of the default command before arguments that name none."""
        if not args or args[0] not in self.commands:
            args = [self.default, *args]
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed
