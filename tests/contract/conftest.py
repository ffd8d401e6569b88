import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # samples.py, shared by this folder's tests
