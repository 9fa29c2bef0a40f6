"""The HTTP API: thin routes over services. It trades through workflows, and reads and administers through db."""
