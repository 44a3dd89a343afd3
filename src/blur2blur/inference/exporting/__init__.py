"""Networks as files of other runtimes, written and read."""
