"""The command line, python -m meta_lib, and what only it needs."""
