"""Programs that nobody has read run here: in a process of their own, which can reach neither files nor the network.

`host` is our side and `programs` its interface; `guest` is what runs inside, confined by `confine` before it has seen a
line of the program. `protocol` is what the two say to each other.
"""
