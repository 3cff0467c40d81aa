"""What the hub may speak to by addresses that a tenant gives. No Django: the command uses it too."""
