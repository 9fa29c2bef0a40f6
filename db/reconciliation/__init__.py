"""Reconciliation: what no live workflow does any more, and what it could not do."""
