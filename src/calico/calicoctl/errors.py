"""What makes a command fail: one message for people, exit status 1."""


class CommandError(Exception):
    """The command failed; the text is all that the user sees."""
