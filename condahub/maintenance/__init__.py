"""A notice to everybody, and the read-only mode of maintenance."""
