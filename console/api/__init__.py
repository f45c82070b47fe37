"""The JSON API below `/api/v1`: the verbs and records of the command line, for programs.

`operations` has what an operation is, `table` all of them; `openapi` describes the same table as OpenAPI 3.1.
"""
