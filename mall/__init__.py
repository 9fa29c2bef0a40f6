"""The demo mall: what a mall's developer would write against the public API. It imports nothing of the platform."""
