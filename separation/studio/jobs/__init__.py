"""Jobs: separations that run on the server, independently of any page; their queue, execution and loaded separators."""
