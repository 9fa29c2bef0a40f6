"""Conditions that leave the planner one choice: the row is found by its key.

A statement's one generic plan is often made before the table has statistics. Then a partial index on the very condition of a
guard (status = 'forming') looks as good as the key, and every lock would scan all forming teams. COLLATE does not change the
meaning of the condition, but keeps it from matching these indexes.
"""

IS_FORMING = """status COLLATE "C" = 'forming'"""
IS_PENDING = """status COLLATE "C" = 'pending'"""
IS_UNPAID = """status COLLATE "C" = 'locked'"""
"""the index of unpaid seats has it, and no guard does"""
IS_UNDELIVERED = """status COLLATE "C" IN ('pending', 'dead')"""


def equal_pair(columns: str, values: str) -> str:
    """Returns SQL: two columns have these two values; repeated as a range that only an index beginning with both can serve.

    With `source = $1` alone, the unique index on (source, out_trade_no) may look as good, and all orders of a mall are scanned.
    """
    column, value = columns.split(",")[0], values.split(",")[0]
    return f"{column} = {value} AND ({columns}) >= ({values}) AND ({columns}) <= ({values})"
