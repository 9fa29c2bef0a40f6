"""`groupbuy up`: real stacks, each in a directory of its own and on free ports."""
