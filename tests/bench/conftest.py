"""The benchmark is run from the clone's root, as `python -m loadtests.bench`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
