"""A channel as the sync core's target: what it knows, what is on its way in, and one atomic change of what it shows."""
