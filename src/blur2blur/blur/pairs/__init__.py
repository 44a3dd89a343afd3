"""Blurry/sharp pairs made of a folder of photographs."""
