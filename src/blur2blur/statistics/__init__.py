"""What numbers say of images: how close two are, and how their detail falls off."""
