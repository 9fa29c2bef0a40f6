"""`groupbuy up` and its parts: real stacks, each in a directory of its own and on free ports."""
