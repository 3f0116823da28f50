"""Run folders: everything needed to understand, resume and redo a run."""
