"""Simulated pairs: what made-up cameras, and the known one, make of sharp photographs."""
