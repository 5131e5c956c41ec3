"""Trading rules, their metadata, validation and the run specification."""
