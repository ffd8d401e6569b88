"""What ``fer-host`` can do, a module for each kind of work."""
