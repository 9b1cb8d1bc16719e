"""Jobs: separations that belong to the server, not to a page; their queue, their work and the loaded separators."""
