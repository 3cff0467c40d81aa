"""Protocols of other programs' clients."""
