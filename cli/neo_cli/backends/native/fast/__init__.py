"""Rules for the operators that decide the speed; every module here is read in by operators.load()."""
