"""One worker for each task queue."""
