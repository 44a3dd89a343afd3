"""Deblurring photographs: the pipeline, and folders of files through it."""

from blur2blur.inference.pipeline import Pipeline, Result

__all__ = ["Pipeline", "Result"]
