"""WS-Eventing of the simulated device: its subscription, and the events of its job."""
