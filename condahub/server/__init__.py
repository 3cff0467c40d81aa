"""How the hub is run under gunicorn: a worker that slow clients cannot starve, its configurations, and upload bodies."""
