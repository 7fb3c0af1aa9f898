"""The way in: a command line becomes one request, a response becomes bytes and an exit code."""
