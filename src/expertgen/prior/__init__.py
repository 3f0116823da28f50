"""The behavior prior: a diffusion policy trained on imperfect demonstrations, then frozen."""
