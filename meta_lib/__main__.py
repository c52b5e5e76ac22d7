"""The command line: python -m meta_lib."""

from meta_lib.command_line.commands import meta_lib

meta_lib(prog_name="python -m meta_lib")
