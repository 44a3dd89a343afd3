"""Crops of photographs, as training draws them."""
