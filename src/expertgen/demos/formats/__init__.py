"""Files of demonstrations that others read and write: one module a format, each with `recognizes`, `opens`, `write`."""
