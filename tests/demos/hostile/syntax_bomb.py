"""Takes the compiler a lot of memory, or a lot of stack."""

x = eval("(" * 100_000 + ")" * 100_000)
y = 1 << (1 << 40)
