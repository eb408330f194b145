"""The prompts, one Markdown file per model call, rendered strictly.

A file opens with front matter (`role`, `version`, `about`) and has two parts, `# system` and
`# user`. Both are Jinja templates in which a name that is not given is an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

import jinja2
import jinja2.meta
import yaml

_FILE = re.compile(r"\A---\n(.*?)\n---\n+# system\n(.*?)\n# user\n(.*)\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt: who it is for and what it says."""

    name: str
    role: str
    version: int
    system: str
    user: str

    def after(self, other: Prompt) -> Prompt:
        """This prompt with what `other` says and shows before its own material."""
        return replace(
            self,
            system=f"{self.system}\n\n{other.system}",
            user=f"{other.user}\n\n{self.user}",
        )


def render(name: str, **values: Any) -> Prompt:
    """Fill the prompt `name`.

    Raises KeyError where there is no such prompt, and jinja2.UndefinedError (a programming
    mistake) or TypeError where `values` are not exactly the variables of the template.
    """
    head, *_ = _parts(name)
    if surplus := values.keys() - variables(name):
        raise TypeError(f"prompt '{name}' has no variable {', '.join(sorted(surplus))}")
    filled = (template.render(**values).strip() for template in _templates(name))
    return Prompt(name, head["role"], head["version"], *filled)


@cache
def variables(name: str) -> frozenset[str]:
    """The names that `render` must be given for the prompt `name`."""
    _, system, user = _parts(name)
    parse = _environment().parse
    return frozenset(
        jinja2.meta.find_undeclared_variables(parse(system))
        | jinja2.meta.find_undeclared_variables(parse(user))
    )


def names() -> list[str]:
    """All prompts there are."""
    files = resources.files(__name__).iterdir()
    return sorted(file.name[:-3] for file in files if file.name.endswith(".md"))


@cache
def _parts(name: str) -> tuple[dict[str, Any], str, str]:
    file = resources.files(__name__).joinpath(f"{name}.md")
    if not file.is_file():
        raise KeyError(f"there is no prompt '{name}'")
    match = _FILE.match(file.read_text("utf-8"))
    if match is None:
        raise ValueError(f"prompt '{name}' lacks its front matter, '# system' or '# user'")
    return yaml.safe_load(match[1]), match[2], match[3]


@cache
def _templates(name: str) -> tuple[jinja2.Template, ...]:
    _, *parts = _parts(name)
    return tuple(map(_environment().from_string, parts))


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # the output is a prompt, not a page
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    environment.filters["quoted"] = quoted
    environment.filters["attribute"] = attribute
    return environment


def quoted(text: str) -> str:
    """Retrieved text as data: nothing in it can close the fence it stands in or open another."""
    return text.replace("<", "‹").replace(">", "›")


def attribute(text: str) -> str:
    """Retrieved text inside the quotation marks of an attribute, on one line."""
    return " ".join(quoted(text).replace('"', "”").split())
