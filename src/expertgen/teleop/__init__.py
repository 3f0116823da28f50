"""Teleoperation: a page in a browser shows a task live, and a person demonstrates it."""
