"""Building: from a queued build to an environment's current folder, in the worker of the heavy lane."""
