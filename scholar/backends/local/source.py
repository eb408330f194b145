"""Where a model comes from: folders of this machine, or ids of the hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scholar.errors import ModelRejected


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from: `base` and perhaps an `adapter`, each an id or a folder."""

    base: str
    adapter: str | None = None

    @classmethod
    def parse(cls, name: str) -> Source:
        """Read `BASE` or `BASE+ADAPTER`; a folder may have a plus in its name."""
        base, plus, adapter = name.rpartition("+")
        if not plus or not base or not adapter or Path(name).expanduser().is_dir():
            return cls(name)
        return cls(base, adapter)


def is_folder(part: str) -> bool:
    """Whether `part` is a folder of this machine."""
    return Path(part).expanduser().is_dir()


def place(part: str, here: bool) -> tuple[str, dict[str, Any]]:
    """What `from_pretrained` takes for `part`: a folder, or an id of the hub or its cache.

    With `here`, nothing is asked of the network. Raises ModelRejected for a path to no folder.
    """
    folder = Path(part).expanduser()
    if folder.is_dir():
        return str(folder), {"local_files_only": True}
    if part.startswith(("/", "./", "../", "~")):
        raise ModelRejected(f"There is no folder {part}; write it as local:/path/to/model.")
    return part, {"local_files_only": here}
