"""Demonstration programs by large language models: what they are asked, how they are reached, and what is kept."""
