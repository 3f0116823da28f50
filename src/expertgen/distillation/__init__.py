"""Distillation: the expert, which sees the state, teaches a student, which sees through cameras."""
