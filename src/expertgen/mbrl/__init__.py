"""Model-based reinforcement learning: backbones that a weighting of the model's data can be tried on."""
