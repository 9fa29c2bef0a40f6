"""The HTTP API: thin routes. It trades through workflows, and reads and administers through db."""
