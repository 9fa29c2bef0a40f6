"""What keeps the stack from running, in words for the person at the terminal."""


class StackError(Exception):
    """One clear line: what is wrong and what to do about it. It is printed instead of a traceback."""
