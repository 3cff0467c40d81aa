"""The pages of mirrors."""
