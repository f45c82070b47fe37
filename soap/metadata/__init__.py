"""What the server publishes about itself: device metadata and WSDL."""
