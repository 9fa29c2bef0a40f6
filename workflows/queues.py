"""The task queues. Callbacks have one of their own: a slow mall never takes a slot from a lock or a settlement."""

TASK_QUEUE = "groupbuy"
CALLBACKS_QUEUE = "groupbuy-callbacks"
