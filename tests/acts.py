"""Acts of operators, and what the audit has of them."""

import uuid

from domain.messages.acts import Act, signal_author


def act_of(operator: str = "ann", reason: str = "") -> Act:
    """A new one."""
    return Act(id=uuid.uuid4().hex, author=signal_author(operator), reason=reason)
