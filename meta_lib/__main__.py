"""The command line: python -m meta_lib."""

import io
import sys

from meta_lib.command_line.commands import meta_lib

for stream in (sys.stdout, sys.stderr):
    if isinstance(stream, io.TextIOWrapper):  # a console that lacks a letter gets its number
        stream.reconfigure(errors="backslashreplace")
meta_lib(prog_name="python -m meta_lib")
