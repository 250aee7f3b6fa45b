"""One module per model, and the list of them all."""
