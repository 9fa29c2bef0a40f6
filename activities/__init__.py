"""What workflows do outside of themselves: one class per concern, constructed with what it needs.

Every activity is idempotent by business key. What it raises is retried, unless it is a refusal or a defect.
"""
