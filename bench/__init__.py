"""What the platform costs beside bare Temporal updates: `python -m bench`."""
