"""When a server process looks for garbage: each look takes time from requests, and what is left meanwhile takes memory."""

import gc

MADE, YOUNG_LOOKS, MIDDLE_LOOKS = 20_000, 3, 2
"""objects that were made and not freed, after which the young ones are looked at; such looks, after which those of middle age
are looked at, too; and such looks again, after which all are.

A workflow is a cycle of 130 objects, 40 kB with what they hold, and has grown old when it leaves the cache: only a look at all
objects frees it. With 5,000 in the cache, half as many may wait for that (docs/performance.md).
"""


def tune_collector() -> None:
    """Sets when garbage is looked for, from the end of a process's start on: what was imported stays for good."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(MADE, YOUNG_LOOKS, MIDDLE_LOOKS)
