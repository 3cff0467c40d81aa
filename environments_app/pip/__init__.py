"""The `pip:` lines of a specification: resolved beside the conda packages, fetched as wheels, put into the environment."""
