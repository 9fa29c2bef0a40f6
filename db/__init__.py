"""PostgreSQL: the schema, and every transaction as a function of its own, in plain SQL on asyncpg."""
