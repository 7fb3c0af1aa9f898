"""One file for each command of our own, and one for all that mirror AWS."""
