"""Drift: frames that are unlike those of a reference night, or unlike what the model was measured on.

Pure functions of what the journal notes of each frame; see `rbinfer.diagnostics.drift.monitor`.
"""
