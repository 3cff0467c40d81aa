"""What every app's page in the Django admin is made of."""
