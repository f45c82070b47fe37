"""The console: web pages, a JSON API and metrics, in a process of its own beside the server."""
