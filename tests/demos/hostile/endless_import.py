"""Never comes to an end while it is loaded."""

while True:
    pass
