"""Every way of signing in goes through here: passwords, directories, providers, second factors, sessions, and what is remembered of it."""
