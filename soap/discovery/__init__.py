"""WS-Discovery: messages, and the responder that listens on UDP."""
