"""Folders of photographs: what they hold, measured, dealt out, checked and filtered."""
