"""Reinforcement learning that does not know what its action means: replay, networks, one algorithm per file."""
