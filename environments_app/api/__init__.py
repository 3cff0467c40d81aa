"""The REST API of environments."""
