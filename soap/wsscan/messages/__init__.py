"""The messages of WS-Scan as values: requests as XML, answers and events as values. No I/O."""
