"""Labelled cutouts, from simulated frames and from real ones."""
