"""The targets: devices.toml and its readers."""
