"""The sagas."""
