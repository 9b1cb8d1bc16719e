"""What this is, where it comes from, and how to cite it."""

from __future__ import annotations

import gradio as gr

__all__ = ["build"]

TEXT = """
### Hear, see and score how a song is taken apart

**Always listen.** Stemscope began with a study of 2020 that compared linear ICA with Open-Unmix and Demucs on
MUSDB18 and found that the metrics alone do not tell which result is better. So sound, pictures and numbers are on
one page here: switch the method while the song plays, go to the second that scored worst, or judge without knowing
which is which.

**Honest sound.** Stems keep the song's level. If a file would clip, all stems are lowered alike and the page says by
how much. What the stems leave of the song, the residual, can be heard and is given in decibels.

**Honest numbers.** SDR, ISR, SIR and SAR are BSSEval v4 as `museval` computes it, to 1e-5 dB; a number says over
what it is a median. The bundled models are small and were trained on 7 s clips: they beat what needs no training,
not the published systems.

**Yours stays yours.** Uploads and results lie in a folder nobody can guess and are removed after an hour. Nothing is
fetched from or sent to other servers while you use this page.

#### Cite
- ICA: Hyvärinen and Oja, "Independent component analysis: algorithms and applications", Neural Networks 13, 2000.
- Open-Unmix: Stöter, Uhlich, Liutkus, Mitsufuji, "Open-Unmix", JOSS 4(41), 2019.
- Demucs: Défossez, Usunier, Bottou, Bach, "Music source separation in the waveform domain", 2019.
- Hybrid Demucs: Défossez, "Hybrid spectrogram and waveform source separation", MDX workshop at ISMIR 2021.
- MUSDB18: Rafii, Liutkus, Stöter, Mimilakis, Bittner, 2017, doi:10.5281/zenodo.1117372.
- museval, SiSEC: Stöter, Liutkus, Ito, "The 2018 signal separation evaluation campaign", LVA/ICA 2018.
- norbert: Liutkus and Stöter, 2019, doi:10.5281/zenodo.3269749.
"""


def build() -> None:
    """Lay the page out inside its tab."""
    gr.Markdown(TEXT)
