"""The network, its fit, and its calibration."""
