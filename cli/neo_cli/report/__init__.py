"""What was done, how near it is to its source, how fast it is, and which candidate that makes the best."""
