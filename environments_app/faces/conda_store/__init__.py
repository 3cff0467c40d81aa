"""conda-store's API: its command and its UI work against the hub."""
