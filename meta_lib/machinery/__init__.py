"""What makes the library fast, restartable, shared out and checked; no chapter needs it."""
