from hypothesis import settings

# No deadline per example: the machine may be busy. Always the same examples, so that a failure is a change of ours.
settings.register_profile("groupbuy", deadline=None, derandomize=True, database=None, max_examples=200)
settings.load_profile("groupbuy")
