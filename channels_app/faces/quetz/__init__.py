"""Quetz's HTTP API, one noun a module, so that Quetz's clients work unchanged."""
