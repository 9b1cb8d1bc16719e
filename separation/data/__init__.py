"""Where multitracks come from: MUSDB18 through `musdb`, and plain folders of stems."""
