"""What the simulated scanner does differently: quirks of known models, and misbehaviours."""
