"""The SOAP front end of postscan: messages in, verbs of the core called, messages out. It knows no table."""
