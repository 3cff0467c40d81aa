"""Commands of environments that run for long."""
