"""Bundles: what a channel or an environment is carried in, to a hub that no network reaches."""
