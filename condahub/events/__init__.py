"""What somebody is told: one list of event types, and the inbox, e-mail and webhooks by which they are told."""
