"""The scanner's HTTP: bounded, and able to send answers that break."""
