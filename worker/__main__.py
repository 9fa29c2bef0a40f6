"""Starts the worker process."""

import sys

from worker.process import main

if __name__ == "__main__":
    sys.exit(main())
