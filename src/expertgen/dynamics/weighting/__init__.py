"""Weights for the transitions that a world model learns from: transition occupancy matching and its rivals."""
