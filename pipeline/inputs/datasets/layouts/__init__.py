"""One module per layout; each has `read(folder) -> Found` and opens no picture."""
