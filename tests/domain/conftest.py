from hypothesis import settings

# No deadline per example, since the machine may be busy; always the same examples, so that a failure means a change.
settings.register_profile("groupbuy", deadline=None, derandomize=True, database=None, max_examples=200)
settings.load_profile("groupbuy")
