"""What the simulated scanner can be told to do: scan, run through everything, misbehave."""
