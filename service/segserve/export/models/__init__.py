"""Network definitions in plain torch; parameter names are those of the checkpoints in use."""
