"""The pages of environments."""
