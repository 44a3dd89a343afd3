"""Deblur the photographs of your own camera."""
