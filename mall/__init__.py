"""The demo mall, as a mall's developer would write it against the public API. It imports nothing of the platform."""
