"""Simulate labelled images, train the real/bogus network, export it, prove it and measure it."""
