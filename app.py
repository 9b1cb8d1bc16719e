"""The studio: ``python app.py``; also what Hugging Face Spaces runs."""

from separation.studio.app import launch

if __name__ == "__main__":
    launch()
