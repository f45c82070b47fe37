"""The protocols of the simulated scanner: SOAP, HTTP, MTOM, WS-Discovery."""
