"""The task queues: what a buyer waits for never queues behind slow work or mass work."""

TRADE_QUEUE = "groupbuy"
"""teams: locks, payments, deadlines"""
REFUNDS_QUEUE = "groupbuy-refunds"
"""what somebody waits for: refunds on request, payments that cannot be settled or whose team's workflow has ended"""
MASS_QUEUE = "groupbuy-mass"
"""what the platform does for many at once: the refunds of failed teams, campaign shutdowns, audience imports"""
CALLBACKS_QUEUE = "groupbuy-callbacks"
