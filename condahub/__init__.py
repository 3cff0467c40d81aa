"""condahub: what every app stands on."""

__version__ = "0.1.0"
