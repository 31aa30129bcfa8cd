"""Band structures as DFT codes left them: documents and VASP runs, in files and folders, and where their lines lie in the zone."""
