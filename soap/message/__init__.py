"""SOAP messages: envelope, addressing headers, MTOM packaging and faults. No I/O."""
