"""Guards of rows that are found by their key.

One plan is kept for each statement, often made before there are statistics. To such a planner a partial index on the very
condition of a guard looks as good as the key, and then every lock reads all forming teams. COLLATE changes nothing of what the
condition says, and keeps it from matching those indexes.
"""

IS_FORMING = """status COLLATE "C" = 'forming'"""
IS_PENDING = """status COLLATE "C" = 'pending'"""
