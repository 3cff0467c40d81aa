"""Measurements of the hub against what it must reach; `make bench` runs them."""
