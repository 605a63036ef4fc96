"""fallback-watchdog: who is silent for how long, and what falls back."""
