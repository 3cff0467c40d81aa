"""The REST API of mirrors and bundles."""
