"""Mirrors: what is copied from where, and one run of it."""
