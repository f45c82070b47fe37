"""What the database holds for callers beside their jobs: accounts, stored responses, subscriptions."""
