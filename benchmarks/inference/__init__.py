"""How fast and in how much memory photographs are deblurred: the engine against whole-image torch.

    python -m benchmarks.inference --out inference                    # all: hours
    python -m benchmarks.inference --out inference --networks mimo_unet --sizes 256x256 1280x720 \
        --repeats 3                                                   # ten minutes on two cores
    python -m benchmarks.inference --out inference --roofline         # where the time goes
    python -m benchmarks.inference --out inference --memory           # 24 megapixels

Every measurement is a fresh process; the same command goes on where it was interrupted.
"""
