"""HTTP API: thin handlers that parse, call once and map errors."""
