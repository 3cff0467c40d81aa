"""Environments: specifications, their builds, and who may use them."""
