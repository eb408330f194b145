"""The command line: `scholar …` and `python -m scholar …`."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the command line; errors become one sentence and an exit code."""
    # What loads stays, so looking for garbage in it is a fifth of the time of a short command.
    gc.disable()
    try:
        # Here, so that a Ctrl-C while it loads is no traceback either.
        from scholar.cli import app

        app()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
