"""The REST API of people, organizations, teams, grants, robots and tokens."""
