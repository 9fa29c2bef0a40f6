"""Drills: what takes minutes, or more than the stack of the tests. Each is a make target; docs/production.md has its output."""
