"""The studio: a Gradio app.

From the bottom up; each imports only what stands above it:

- ``errors``, ``i18n``, ``limits``, ``visitor``   messages, translations, limits on visitors and their names
- ``results``      result folders and their lifetime, data for the player, downloads, scores
- ``inputs``       the visitor's song, references and estimates; the form and the request built from it
- ``jobs``         separations: their queue, their state on disk, the work itself, loaded separators
- ``listening``    blind listening tests
- ``components``   HTML, cards, theme, and the player's scripts (in ``assets/player``)
- ``pages``        one module per page: its layout and its handlers
- ``api``          the endpoints for programs
- ``app``          puts everything together
"""
