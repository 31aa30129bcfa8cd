"""Inference sessions: one interface, a module for each backend."""
