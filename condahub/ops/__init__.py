"""What an operator runs and watches."""
