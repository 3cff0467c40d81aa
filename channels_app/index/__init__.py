"""Makes and publishes a channel's index: shards and revisions at once, the large files soon after."""
