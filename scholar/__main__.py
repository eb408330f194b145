"""The command line: `scholar …` and `python -m scholar …`."""

from __future__ import annotations

from scholar.cli import app


def main() -> None:
    """Run the command line; errors become one sentence and an exit code."""
    app()


if __name__ == "__main__":
    main()
