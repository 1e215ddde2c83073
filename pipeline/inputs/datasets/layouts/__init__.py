"""One module per layout; each has `read(folder) -> RawListing` and opens no image."""
