"""The pages in the browser, on Gradio.

Below, without Gradio: ``songs`` and ``uploads`` are what comes in, ``turns`` says who is next, ``jobs``
does the work, ``results`` knows where it lies and for how long, ``player`` prepares what the page plays
and draws (the script is in ``assets/player``), ``exports`` writes what people keep.

Above, a module per page: a function builds it and wires it, handlers are plain functions. ``cards``
writes small pieces of HTML, ``words`` is the visitor's language, ``theme`` the looks, ``programs`` the
endpoints, and ``app`` puts everything together.
"""
