"""Parts of the pages: HTML, icons, cards, theme and scripts."""
