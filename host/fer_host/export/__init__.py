"""What other people's compilers take: a folder for an accelerator's vendor; start at export.py."""
