"""The made-up tree of each corpus that can be read."""

from __future__ import annotations

from pathlib import Path

from made_up import (
    cmu_mosei,
    coded,
    crema_d,
    emobank,
    emotale,
    goemotions,
    iemocap,
    meld,
    msp_improv,
    msp_podcast,
    nemo,
)

MAKE = {
    "msp-podcast": msp_podcast.make,
    "iemocap": iemocap.make,
    "meld": meld.make,
    "cmu-mosei": cmu_mosei.make,
    "msp-improv": msp_improv.make,
    "crema-d": crema_d.make,
    "nemo": nemo.make,
    "emotale": emotale.make,
    "emobank": emobank.make,
    "goemotions": goemotions.make,
}


def make(name: str, root: Path) -> Path:
    """Write the made-up tree of the corpus whose reader is called `name`; `toy` writes its own."""
    if name == "toy":
        return root
    return MAKE[name](root) if name in MAKE else coded.make(root, name)
