"""The base of our own REST API: who asks, errors, pages, schema."""
