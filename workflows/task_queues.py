"""The task queues: what is slow or comes in crowds never takes a slot from a lock or a settlement."""

TRADE_QUEUE = "groupbuy"
REFUNDS_QUEUE = "groupbuy-refunds"
CALLBACKS_QUEUE = "groupbuy-callbacks"
