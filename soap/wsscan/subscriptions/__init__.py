"""Subscriptions to the events of scanners: messages, the stored record, and the calls of their life."""
