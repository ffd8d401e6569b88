"""Where readings go. Start with ``jsonl.py``, the shortest; ``fanout.py`` keeps the slow from delaying a frame."""
