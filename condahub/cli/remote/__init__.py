"""The commands for people and programs against any hub, over HTTP; nothing here imports Django."""
