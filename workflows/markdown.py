"""Text of others (malls, buyers, operators) within the Markdown that the Temporal UI shows: it is never read as Markdown."""

import re

SUMMARY_PART = 100
"""bytes of one text in a summary: Temporal takes 200 bytes of a whole one"""
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:@-]*")


def quote(text: object, limit: int = 2000) -> str:
    """Returns the text in one line as code; a single plain word, as most ids and names are, stays as it is.

    Within code nothing has a meaning but a backtick, and in a table a vertical bar. These two and invisible characters, which
    could hide or reorder what stands beside them, are shown by their numbers (`\\u202e`). Text beyond `limit` bytes is cut.
    """
    line = " ".join(str(text).split())
    if len(line) <= limit and _WORD.fullmatch(line):
        return line
    shown = "".join(char if char.isprintable() and char not in "`|" else f"\\u{ord(char):04x}" for char in line)
    if len(shown.encode()) > limit:
        shown = f"{shown.encode()[:limit].decode(errors='ignore')}…"
    return f"`{shown}`" if shown else ""
