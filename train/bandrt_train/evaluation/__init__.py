"""What a model is worth: its errors beside those of baselines, where they are large, and the report that says so."""
