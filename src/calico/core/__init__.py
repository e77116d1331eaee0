"""Code that thinks: no I/O, clock, chance, threads or logging; values in, values out."""
