"""Run: from a stream of sources to a folder of results, with worker processes and one engine."""
