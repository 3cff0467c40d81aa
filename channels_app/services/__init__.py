"""Verbs on channels and packages: each checks policy, changes, audits, and publishes."""
