"""How well anyone could tell real from bogus: the likelihood ratio on frames of which all is known.

`known` draws such frames, `library` what an object of each class may look like, `evidence` compares the
pixels with it, and `judge` does so for the detections of a frame.
"""
