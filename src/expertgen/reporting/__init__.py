"""Reporting: what a run did, for people: a page that opens offline, short films, and a table in the terminal."""
