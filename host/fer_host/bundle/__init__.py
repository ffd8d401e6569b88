"""The stages of a conversion and the bundle made of them. Start at stages.py; ``pipeline.py`` tells their order."""
