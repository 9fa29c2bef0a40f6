"""Conditions that leave a planner no choice: what is asked for is found by its key.

One plan is kept for each statement, often made before there are statistics. To such a planner a partial index on the very
condition of a guard looks as good as the key, and then every lock reads all forming teams. COLLATE changes nothing of what the
condition says, and keeps it from matching those indexes.
"""

IS_FORMING = """status COLLATE "C" = 'forming'"""
IS_PENDING = """status COLLATE "C" = 'pending'"""


def equal_pair(columns: str, values: str) -> str:
    """SQL: two columns have these two values. It is also said as a range, for which only an index that begins with both serves.

    Beside `source = $1` the key of numbers, which begins with the source, may look as good as the right index, and then all
    orders of a mall are read.
    """
    column, value = columns.split(",")[0], values.split(",")[0]
    return f"{column} = {value} AND ({columns}) >= ({values}) AND ({columns}) <= ({values})"
