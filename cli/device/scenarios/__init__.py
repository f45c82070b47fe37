"""Scenarios of the simulated device: a job session, a complete run, misbehaviours."""
