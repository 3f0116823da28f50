"""Learned world models with losses per sample, and the weights that decide what they spend their capacity on."""
