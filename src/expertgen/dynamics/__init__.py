"""Learned world models: what a transition is, models of it, their training, and what is known of their errors."""
