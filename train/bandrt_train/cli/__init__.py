"""The commands of this package, under `bandrt train`."""
