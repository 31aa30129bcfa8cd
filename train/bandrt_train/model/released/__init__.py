"""The variant of the authors' released code: its configuration, its modules by their names there, the layout of its checkpoints."""
