"""What can detect, and what does by default; light to import, unlike the detectors."""

DETECTORS = ("rbinfer", "sep")
DETECTOR = "rbinfer"
