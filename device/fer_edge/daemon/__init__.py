"""``fer-edge run``: ``launch.py`` (start here) builds what ``loop.py`` runs; systemd is told by ``notify.py``."""
