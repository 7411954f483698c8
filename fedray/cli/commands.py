"""Jobs with several commands: the first word says which, and each has a help of its own."""

import sys
from collections.abc import Callable, Mapping, Sequence

Command = Callable[[Sequence[str], str], int | None]
"""Runs a command: its words, and what ``--help`` says of it."""


def run_command(argv: Sequence[str], commands: Mapping[str, tuple[Command, str]], description: str) -> int | None:
    """Run the command that a command line names first.

    Args:
        argv: Command line without the program.
        commands: What each runs, and what it is for, by name.
        description: Of the job.

    Returns:
        The exit status: 2 where no command is named, or one that is none.
    """
    name = argv[0] if argv else ""
    if name in commands:
        run, purpose = commands[name]
        return run(argv[1:], purpose)
    listed = "\n".join(f"  {command:8}{purpose}" for command, (_, purpose) in commands.items())
    told = f"{description}\nCommands, each with options of its own (COMMAND --help):\n{listed}"
    asked = name in ("-h", "--help")
    if not asked:
        told = f"error: {name!r} is no command\n\n{told}" if name else told
    print(told, file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2
