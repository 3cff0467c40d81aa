"""The verbs of environments: each checks the policy, changes, and audits, in one transaction."""
