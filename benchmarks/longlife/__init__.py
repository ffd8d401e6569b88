"""The parts of ``long_life.py``: start at ``plan.py``, what happens when; ``verdict.py`` judges what was seen."""
