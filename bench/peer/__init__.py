"""The same trade elsewhere: durable on DBOS, and behind a bare route without any durability."""
