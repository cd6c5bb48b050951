"""Lets the modules beside the tests be imported: nothing else puts this folder on the path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
