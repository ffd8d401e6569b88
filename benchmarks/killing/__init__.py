"""What ``kills.py`` kills: a module for each kind of command; ``subject.py`` says what they have in common."""
