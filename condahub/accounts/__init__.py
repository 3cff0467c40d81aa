"""Who may do what: people, robots, organizations, teams, grants, tokens and the policy over them."""
