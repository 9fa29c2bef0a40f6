"""What workflows do to the world: one class per concern, constructed with what it needs.

Every activity is idempotent by business key. A refusal is part of its answer; what it raises is retried, unless it is a defect.
"""
