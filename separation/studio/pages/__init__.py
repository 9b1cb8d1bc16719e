"""The pages of the studio: `build` lays a page out, its handlers are plain functions."""
