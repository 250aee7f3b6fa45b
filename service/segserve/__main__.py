"""``python -m segserve``: the same program as ``segserve``."""

import sys

from segserve.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
