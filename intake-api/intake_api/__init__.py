"""intake-api: takes leads in, and tells staff where each one is."""
