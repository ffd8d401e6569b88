"""What lies on disk: digests and atomic writes, the store of stages, and paths, which knows where everything is."""
