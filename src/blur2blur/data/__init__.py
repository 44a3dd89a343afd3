"""Photographs on disk: the A-D layout, checking, splitting, and training samples."""
