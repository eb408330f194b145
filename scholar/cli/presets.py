"""`scholar presets`: the ways of answering, what each is good for and what it costs."""

from __future__ import annotations

from rich.text import Text

from scholar import report, settings
from scholar.cli.common import out, print_json


async def list_presets(json: bool) -> None:
    """Print all presets; the one that the settings choose is marked."""
    known = settings.load()
    chosen = known.preset
    known.preset_named(None)  # says so where the chosen one is none
    presets = settings.load_presets()
    if json:
        rows = [
            {"name": name, "chosen": name == chosen, **preset.model_dump(mode="json")}
            for name, preset in presets.items()
        ]
        print_json(rows)
        return
    width = max(map(len, presets)) + 4
    for name, preset in presets.items():
        mark = "* " if name == chosen else "  "
        report.write_block(
            out,
            report.hanging((mark + name).ljust(width), preset.about),
            report.hanging(" " * width, preset.cost, style="dim"),
        )
    out.print(Text("* is set; for another: scholar ask … --preset NAME", style="dim"))
