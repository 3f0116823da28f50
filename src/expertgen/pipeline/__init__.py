"""The whole way, in order: demonstrations, prior, expert, student. The one place that knows all the stages.

    demos ──► prior ──────────────► expert ─────────────► student
              zero_noise            (steering)            bc_student, blind_student
              constant_noise

Every stage has a folder of its own in the run folder, and every policy is evaluated by the same function on the same
held-out seeds. A finished stage is read back instead of done again, so a run that was killed is continued by calling
`run` once more.
"""
