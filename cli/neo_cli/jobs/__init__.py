"""The job record, its rules and its stores: where office and workshop meet."""
