"""The API: its model, its checks, its names and its times."""
