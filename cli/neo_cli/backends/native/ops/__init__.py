"""Rules for plain row-major operators; every module here is read in by operators.load()."""
