"""The sync of mirrors, free of Django: from an upstream's index to verified packages in a target."""
