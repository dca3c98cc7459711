"""RAVDESS (Livingstone & Russo 2018, doi 10.1371/journal.pone.0196391; CC BY-NC-SA 4.0): speech, and song apart.

24 actors say and sing two neutral sentences in instructed emotions. The text carries no emotion by design.
"""

from __future__ import annotations

from dataclasses import replace

from emofuse.corpora.about import About
from emofuse.corpora.readers.coded import Coded

_ABOUT = About(
    title="Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS), speech",
    languages=("en",),
    access="Free download from Zenodo, doi 10.5281/zenodo.1188976: Audio_Speech_Actors_01-24.zip.",
    licence="CC BY-NC-SA 4.0",
    citation=(
        "Livingstone & Russo 2018, The Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS), "
        "PLoS ONE 13(5), doi 10.1371/journal.pone.0196391"
    ),
    layout=(
        "Actor_01/03-01-01-01-01-01-01.wav to Actor_24, 1440 clips: modality-channel-emotion-intensity-statement-"
        "repetition-actor; also below a folder of the archive's name. Audio only (modality 03, channel 01); videos and "
        "song are passed over."
    ),
    labels=(
        "Eight instructed categories: neutral, calm, happy, sad, angry, fearful, disgust, surprised; calm counts as "
        "neutral among the shared ones and stays in original_emotion. No dimensions. Columns: intensity (normal, "
        "strong), statement (1, 2), repetition (1, 2), vocal_channel."
    ),
    protocol=(
        "Speaker-disjoint folds, such as EmoBox's six (shipped as ravdess-emobox). Both sentences are in every part, "
        "so words tell nothing."
    ),
)

SPEECH = Coded(
    name="ravdess",
    title="RAVDESS speech",
    about=_ABOUT,
    form="Actor_01/03-01-01-01-01-01-01.wav (modality-channel-emotion-intensity-statement-repetition-actor)",
    path=r"(?P<modality>03)-(?P<channel>01)-(?P<emotion>\d\d)-(?P<intensity>\d\d)-(?P<statement>\d\d)-"
    r"(?P<repetition>\d\d)-(?P<actor>\d\d)",
    key="{modality}-{channel}-{emotion}-{intensity}-{statement}-{repetition}-{actor}",
    speaker="ravdess/{actor}",
    emotions={
        "01": "neutral",
        "02": "calm",
        "03": "happy",
        "04": "sad",
        "05": "angry",
        "06": "fearful",
        "07": "disgust",
        "08": "surprised",
    },
    columns={
        "gender": ("actor", lambda actor: "female" if int(actor) % 2 == 0 else "male"),
        "text": ("statement", {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}),
        "intensity": ("intensity", {"01": "normal", "02": "strong"}),
        "statement": ("statement", int),
        "repetition": ("repetition", int),
        "vocal_channel": ("channel", {"01": "speech", "02": "song"}),
    },
    constants={"language": "en"},
    glob="**/Actor_*/*",
    passed_over=r"0[12]-.*|[^-]*-02(-.*)?",
    expected=1440,
)

SONG = replace(
    SPEECH,
    name="ravdess-song",
    title="RAVDESS song",
    about=replace(
        _ABOUT,
        title="Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS), song",
        access="Free download from Zenodo, doi 10.5281/zenodo.1188976: Audio_Song_Actors_01-24.zip.",
        layout=(
            "Actor_01/03-02-01-01-01-01-01.wav to Actor_24, 1012 clips, named as the speech clips but for channel 02. "
            "Videos and speech are passed over."
        ),
        labels=(
            "Six instructed categories: neutral, calm, happy, sad, angry, fearful; calm counts as neutral among the "
            "shared ones. No disgust, no surprise, no dimensions. Columns as for speech."
        ),
        protocol=(
            "Sung, so results do not stand beside those on speech. Speakers have the names that they have in ravdess, "
            "so that both together can be split by speaker."
        ),
        defects="Actor 18 did not record song.",
    ),
    form="Actor_01/03-02-01-01-01-01-01.wav (modality-channel-emotion-intensity-statement-repetition-actor)",
    path=SPEECH.path.replace("(?P<channel>01)", "(?P<channel>02)"),
    emotions={code: word for code, word in SPEECH.emotions.items() if code <= "06"},
    passed_over=r"0[12]-.*|[^-]*-01(-.*)?",
    expected=1012,
)

CORPORA = {table.name: table.corpus for table in (SPEECH, SONG)}
read = SPEECH.read
