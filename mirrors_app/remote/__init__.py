"""`condahub mirror ...` against a hub: the REST API and nothing of the server."""
