"""Training: one loop, tasks for deblurrer and converter."""
