"""Data: from band structures on disk to a data set of features and targets."""
