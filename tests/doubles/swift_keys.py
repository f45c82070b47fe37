"""The key of the object store of the tests; read by Debian's Python as well."""

KEY = "test:tester"
SECRET = "testing-secret"
