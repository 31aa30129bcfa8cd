"""Results: what becomes of an input, and how it is kept on disk, read again and converted."""
