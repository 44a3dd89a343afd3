"""Published datasets: found, fetched and brought into the folders of training."""
