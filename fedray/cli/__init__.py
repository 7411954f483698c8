"""The jobs' command lines: options in, lines, tables and pictures out. Nothing below knows a terminal's options."""
