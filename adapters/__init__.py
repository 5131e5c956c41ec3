"""Engine output turned into what a page shows."""
