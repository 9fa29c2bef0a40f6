"""Why the stack cannot run."""


class StackError(Exception):
    """Its message is one line, printed instead of a traceback: what is wrong and what to do about it."""
