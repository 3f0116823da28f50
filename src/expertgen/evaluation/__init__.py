"""Evaluation: the same rollouts, intervals and motion measures for every policy of every stage."""
