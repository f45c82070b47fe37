"""The pages: one module each, with functions that take a `ConsoleRequest` and return a response."""
