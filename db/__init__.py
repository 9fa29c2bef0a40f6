"""PostgreSQL: the tables, and the SQL of each transaction, one function each.

`tables` defines the schema with SQLAlchemy (Alembic's migrations follow from it). The transactions are plain SQL on
asyncpg: each statement is a guard that is worth reading as it is sent.
"""
