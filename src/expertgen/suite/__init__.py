"""Comparisons: methods × tasks × seeds over a pool of local processes, in a folder that can be resumed.

    suite file ──► plan ──► runner ──► members/TASK/METHOD/SEED/result.json ──► results.csv, report.html
                              │
                              └─ one process a member, pinned to a core, with its own run folder and log

What a member does is a `kinds.Kind`; `kinds.KINDS` is the one place to add another.
"""
