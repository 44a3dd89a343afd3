"""Losses: against a target, against a discriminator, against what an image shows."""
