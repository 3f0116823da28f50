"""Imperfect demonstrations: how they are stored, who gives them, and how they are collected and imported."""
