"""Machine: what this one is, what works on it, and how fast."""
