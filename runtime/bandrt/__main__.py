"""``python -m bandrt``: the command line, where its script is not on the path."""

from __future__ import annotations

from bandrt.cli import main

if __name__ == "__main__":  # worker processes import this again
    main()
