"""The pages in the browser, on Gradio.

``jobs`` does the work and knows nothing of Gradio; ``separate_page`` lays the page out and wires
it; ``cards`` writes its small pieces of HTML; ``theme`` is how it looks.
"""
