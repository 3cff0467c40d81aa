"""The `condahub` command: one half speaks HTTP to any hub and needs no Django, the other half runs and looks after a hub."""
