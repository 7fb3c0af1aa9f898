"""The foundation: errors, paths, tables of names."""
