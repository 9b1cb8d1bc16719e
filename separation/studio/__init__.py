"""The studio: a Gradio app.

Without Gradio:

- ``songs``, ``uploads``         the visitor's song, references and estimates
- ``request``, ``session``       what to do, and doing it: separate, encode for the player
- ``scoring``                    scores of a group of stems
- ``model_cache``                loaded separators; ``model_choice``: which weights a method uses
- ``queue``                      a fair queue for the shared processor
- ``storage``                    result folders and their lifetime
- ``player_data``                audio pieces and pictures for the player in the page (its scripts: ``assets/player``)
- ``downloads``                  mixes, stems and archives in the format the visitor chooses
- ``blind_test``                 blind listening tests
- ``limits``, ``errors``         limits on uploads; errors as messages

With Gradio: ``pages`` has one module per page, ``components`` builds pieces of HTML, ``i18n`` translates,
``theme`` styles, ``api`` holds the endpoints for programs, ``zero_gpu`` supports Hugging Face's ZeroGPU, and
``app`` puts everything together.
"""
