"""Makes `tests.analysis.synthetic`, the studies these tests read, importable."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
