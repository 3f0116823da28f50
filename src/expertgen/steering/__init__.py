"""Steering: reinforcement learning whose action is the initial noise of a frozen prior."""
