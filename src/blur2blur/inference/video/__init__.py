"""Clips: which there are, their frames and colours, through a Pipeline and back into a file."""
