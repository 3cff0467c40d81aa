"""The format of bundles, its keys, and the checking of both; needs no hub and no Django."""
