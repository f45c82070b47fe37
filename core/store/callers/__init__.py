"""What the database holds for callers beside their jobs: stored responses, subscriptions."""
