"""Measurements behind the figures that the README gives."""
