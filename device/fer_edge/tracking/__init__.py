"""One face over many frames: ``track.py`` decides (start here), ``tracker.py`` does."""
