"""The only room that imports py-rattler: solving, installing, locking, and conda's own order of versions."""
