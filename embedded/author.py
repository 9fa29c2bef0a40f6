"""Who writes to the database for a stack, as the audit has it."""

from domain.messages.acts import command_line_author

AUTHOR = command_line_author("groupbuy up")
