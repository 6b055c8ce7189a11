"""From an image and positions to the cutouts that a network reads."""
