"""Where labels come from: folders of band documents, VASP runs, the Materials Project, the data set of the released code."""
