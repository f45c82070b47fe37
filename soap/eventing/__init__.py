"""WS-Eventing: subscriptions, notifications, and their delivery."""
