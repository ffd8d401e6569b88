"""The commands of ``fer-host``, one module for each kind of work. Start at convert.py."""
