"""The embedded stack for one machine and the `groupbuy` command."""
