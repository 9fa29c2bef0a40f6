"""SQL conditions that the searches of reconciliation, and the clearing of their findings, share."""

from datetime import timedelta

LATE_BY = timedelta(minutes=2)
"""later than any live workflow is"""
WINDOW_ENDS_WITHIN = timedelta(minutes=5)
"""longer than a run of reconciliation: a workflow that ends with its refund window meanwhile is not missing"""

# When a completed team's refund window ends: in UTC without a time zone, because an index takes no expression that depends on a
# setting (schema.py has the same one).
WINDOW_END = "((completed_at AT TIME ZONE 'UTC') + refund_window * '00:00:01'::interval)"
IS_COMPLETED = "status IN ('completed', 'completed_with_refunds')"


def is_overdue(since: str) -> str:
    """Returns SQL: team `t` is forming, and at this moment its deadline, or a seat's window, and the grace were over."""
    return f"""t.status = 'forming'
   AND (t.deadline + t.payment_grace * interval '1 second' < {since}
        OR EXISTS (SELECT FROM orders o WHERE o.team_id = t.team_id AND o.status = 'locked'
                      AND o.lock_expires_at + t.payment_grace * interval '1 second' < {since}))"""


def is_put_off(kind: str, subject: str, now: str) -> str:
    """Returns SQL: reconciliation failed with this subject before, and does not try it again yet."""
    return (
        "EXISTS (SELECT FROM reconciliation_findings f"
        f" WHERE f.kind = '{kind}' AND f.subject = {subject} AND f.next_try_at > {now})"
    )


def is_woken(since: str) -> str:
    """Returns SQL: a wake-up that was left after this moment is about to start the workflow of a row of `teams`."""
    return f"EXISTS (SELECT FROM team_wakeups w WHERE w.team_id = teams.team_id AND w.since > {since})"
