"""High-symmetry k-paths: from a standard primitive cell to 256 labelled k-points."""
