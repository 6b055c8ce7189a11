"""From an image and positions to scores, and the functions of the reference API."""
