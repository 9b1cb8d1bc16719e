"""Results: folders on disk, what the player and the pages read from them, and downloads."""
