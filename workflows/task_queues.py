"""The task queues: slow work and mass work never takes a slot from a lock or a payment."""

TRADE_QUEUE = "groupbuy"
REFUNDS_QUEUE = "groupbuy-refunds"
CALLBACKS_QUEUE = "groupbuy-callbacks"
