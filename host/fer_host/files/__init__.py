"""What lies on disk: where it is, how it is written, the store of stages. Start at paths.py."""
