"""Band data to dataset to Bandformer (torch, torch_geometric, lightning) to checkpoint."""
