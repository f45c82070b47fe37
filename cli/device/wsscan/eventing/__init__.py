"""WS-Eventing of the simulated scanner: subscriptions with scan destinations, and the events to them."""
