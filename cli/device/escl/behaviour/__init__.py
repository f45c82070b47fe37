"""How known models, and devices that break the protocol, differ from a plain eSCL scanner; as tables."""
