"""The worker: attempts at jobs, in processes of their own."""
