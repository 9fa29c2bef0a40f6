"""The operators' console: pages on the services and queries of `/v1/ops`, served below `/console` by the API process."""
