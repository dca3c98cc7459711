"""Tables of corpora in Bangla, Urdu and Amharic; labels are in the file names.

SUBESCO (Sultana et al. 2021), URDU (Latif et al. 2018), ASED (Retta et al. 2022). Sources and licences are in each
`About`.
"""

from __future__ import annotations

from emofuse.corpora.about import About
from emofuse.corpora.readers.coded import GENDER, Coded

SUBESCO = Coded(
    name="subesco",
    title="SUBESCO",
    about=About(
        title="SUST Bangla Emotional Speech Corpus (SUBESCO)",
        languages=("bn",),
        access="Free download from Zenodo, doi 10.5281/zenodo.4526477.",
        licence="CC BY 4.0",
        citation="Sultana, Rahman, Selim & Iqbal 2021, PLoS ONE 16(4), doi 10.1371/journal.pone.0250173",
        layout=(
            "F_01_OISHI_S_1_ANGRY_1.wav: gender, speaker, name, S and sentence, emotion, take; 7000 clips in one "
            "folder."
        ),
        labels=(
            "Seven acted categories: angry, disgust, fear, happy, neutral, sad, surprise. No dimensions. Columns: "
            "statement (1 to 10), take (1 to 5)."
        ),
        protocol=(
            "Speaker-disjoint folds (20 speakers). Five takes of each sentence and emotion: a random split has near "
            "copies in training and test."
        ),
        defects=(
            "F_02_MONIKA_S_2_SURPRISE_3].wav has a bracket too many, which is left out of its key. Speaker numbers "
            "begin anew in each gender. The ten sentences are given without text, since no clean copy of them was "
            "found."
        ),
    ),
    form="F_01_OISHI_S_1_ANGRY_1.wav",
    path=r"(?P<gender>[fm])_(?P<number>\d\d)_(?P<person>[a-z]+)_s_(?P<statement>\d+)_(?P<emotion>[a-z]+)_(?P<take>\d)\]?",
    key="{gender}_{number}_{person}_S_{statement}_{emotion}_{take}",
    speaker="subesco/{gender}_{number}",
    upper=("gender", "person", "emotion"),
    emotions={
        "ANGRY": "angry",
        "DISGUST": "disgust",
        "FEAR": "fear",
        "HAPPY": "happy",
        "NEUTRAL": "neutral",
        "SAD": "sad",
        "SURPRISE": "surprise",
    },
    columns={
        "gender": ("gender", {"F": "female", "M": "male"}),
        "statement": ("statement", int),
        "take": ("take", int),
    },
    constants={"language": "bn"},
    expected=7000,
)

URDU = Coded(
    name="urdu",
    title="URDU",
    about=About(
        title="URDU dataset of emotional utterances from talk shows",
        languages=("ur",),
        access="Free download from GitHub (siddiquelatif/URDU-Dataset).",
        licence="For research only.",
        citation=(
            "Latif, Qayyum, Usman & Qadir 2018, Cross lingual speech emotion recognition: Urdu vs. western languages, "
            "FIT, arXiv 1812.10411"
        ),
        layout="Angry/SM1_F10_A010.wav: speaker (SM or SF and a number), file, emotion and number; 400 clips.",
        labels="Four categories, 100 clips each: angry, happy, neutral, sad. No dimensions, no transcripts.",
        protocol=(
            "Speaker-disjoint folds, read with care: only SM3, SM5 and SM6 speak in more than one category, so that "
            "knowing the speaker nearly is knowing the label."
        ),
        defects="The owners speak of 38 speakers; the file names have 29 (18 men, 11 women).",
    ),
    form="Angry/SM1_F10_A010.wav",
    path=r"(?P<speaker>s(?P<gender>[fm])\d+)_(?P<file>f\d+)_(?P<emotion>[a-z])(?P<number>\d+)",
    key="{speaker}_{file}_{emotion}{number}",
    speaker="urdu/{speaker}",
    upper=("speaker", "file", "emotion"),
    emotions={"A": "angry", "H": "happy", "N": "neutral", "S": "sad"},
    columns={"gender": ("gender", GENDER)},
    constants={"language": "ur"},
    expected=400,
)

ASED = Coded(
    name="ased",
    title="ASED",
    about=About(
        title="Amharic Speech Emotion Dataset (ASED)",
        languages=("am",),
        access="Free download from GitHub (Ethio2021/ASED_V1).",
        licence="Free to download; the owners state no licence.",
        citation=(
            "Retta, Almekhlafi, Sutcliffe, Mhamed, Ali & Feng 2022, A new Amharic speech emotion dataset and "
            "classification benchmark, ACM TALLIP, doi 10.1145/3529759"
        ),
        layout=(
            "01Neutral/n1-01-01-01-01.wav to 05Angry: emotion and folder, sentence, repetition, gender (01 female, 02 "
            "male), speaker; 2474 clips."
        ),
        labels=(
            "Five categories, agreed by five of eight judges: neutral, fearful, happy, sad, angry. No dimensions, no "
            "transcripts. Columns: prompt (number of the sentence within its emotion), repetition (1, 2)."
        ),
        protocol=(
            "Speaker-disjoint folds (65 speakers). 25 of the 27 sentences are said in one emotion only, so a model can "
            "learn sentences in place of emotions: look at splits by prompt as well."
        ),
        defects="One clip begins with an upper-case S; keys are in lower case.",
    ),
    form="01Neutral/n1-01-01-01-01.wav",
    path=r"(?P<emotion>[a-z])(?P<folder>\d)-(?P<prompt>\d\d)-(?P<repetition>\d\d)-(?P<gender>\d\d)-(?P<speaker>\d\d)",
    key="{emotion}{folder}-{prompt}-{repetition}-{gender}-{speaker}",
    speaker="ased/{speaker}",
    emotions={"n": "neutral", "f": "fearful", "h": "happy", "s": "sad", "a": "angry"},
    columns={
        "gender": ("gender", {"01": "female", "02": "male"}),
        "prompt": ("prompt", int),
        "repetition": ("repetition", int),
    },
    constants={"language": "am"},
    expected=2474,
)

CORPORA = {table.name: table.corpus for table in (SUBESCO, URDU, ASED)}
