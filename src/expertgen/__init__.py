"""expertgen: imperfect demonstrations in, expert robot policies out."""

__version__ = "0.1.0"
