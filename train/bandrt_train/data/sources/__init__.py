"""Where labels come from beside files of bands: runs of an engine, the Materials Project, the data set of the released code."""
