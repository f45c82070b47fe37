"""What the database holds for callers beside their jobs: accounts, audit trail, stored responses, subscriptions."""
