"""The blur engine: kernels, trajectories, cameras; everything is averaged in linear light."""

from blur2blur.blur.apply import convolve
from blur2blur.blur.camera import Camera, Exposure
from blur2blur.blur.camera_settings import CameraSettings, load_camera

__all__ = ["Camera", "CameraSettings", "Exposure", "convolve", "load_camera"]
