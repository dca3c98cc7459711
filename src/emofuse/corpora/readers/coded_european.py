"""Tables of corpora in European languages whose actors say fixed sentences; labels are in the file names.

SAVEE (Haq & Jackson 2009), TESS (Pichora-Fuller & Dupuis 2020), EMO-DB (Burkhardt et al. 2005), EMOVO (Costantini et
al. 2014), CaFE (Gournay et al. 2018). Sources and licences are in each `About`.
"""

from __future__ import annotations

from emofuse.corpora.about import About
from emofuse.corpora.readers.coded import GENDER, Coded

SAVEE = Coded(
    name="savee",
    title="SAVEE",
    about=About(
        title="Surrey Audio-Visual Expressed Emotion (SAVEE)",
        languages=("en",),
        access="Free for research after registration with the University of Surrey (kahlan.eps.surrey.ac.uk/savee).",
        licence="For research only, on the owner's terms.",
        citation="Haq & Jackson 2009, Speaker-dependent audio-visual emotion recognition, AVSP",
        layout="AudioData/DC/a01.wav for each of DC, JE, JK, KL; copies that name the clips DC_a01.wav are read too.",
        labels=(
            "Seven acted categories: anger, disgust, fear, happiness, neutral, sadness, surprise (a, d, f, h, n, sa, "
            "su). No dimensions. Column: prompt (emotion and number of the sentence, such as sa03)."
        ),
        protocol="Leave one speaker out: four men, 480 clips. Some sentences are said in one emotion only.",
        defects=(
            "The TIMIT sentences are not in the file names, so there is no text; that a prompt is the same sentence "
            "with every speaker is not confirmed. Ages (27 to 31) are not known by speaker."
        ),
    ),
    form="AudioData/DC/a01.wav or DC_a01.wav",
    path=r"(?P<speaker>dc|je|jk|kl)[/_]?(?P<prompt>(?P<emotion>sa|su|[adfhn])\d\d)",
    key="{speaker}_{prompt}",
    speaker="savee/{speaker}",
    upper=("speaker",),
    emotions={
        "a": "anger",
        "d": "disgust",
        "f": "fear",
        "h": "happiness",
        "n": "neutral",
        "sa": "sadness",
        "su": "surprise",
    },
    columns={"prompt": ("prompt", str)},
    constants={"language": "en", "gender": "male"},
    expected=480,
)

TESS = Coded(
    name="tess",
    title="TESS",
    about=About(
        title="Toronto emotional speech set (TESS)",
        languages=("en",),
        access="Free download from Borealis, doi 10.5683/SP2/E8H2MF, or TSpace (University of Toronto).",
        licence="Non-commercial: copies say CC BY-NC 4.0 or CC BY-NC-ND 4.0; see the page of the repository.",
        citation="Pichora-Fuller & Dupuis 2020, Toronto emotional speech set (TESS), doi 10.5683/SP2/E8H2MF",
        layout="OAF_angry/OAF_back_angry.wav, YAF_pleasant_surprised/YAF_back_ps.wav; folders have no meaning here.",
        labels=(
            "Seven acted categories: angry, disgust, fear, happy, neutral, pleasant surprise (ps), sad; pleasant "
            "surprise counts as surprise. No dimensions. Columns: age (years), prompt (the word)."
        ),
        protocol=(
            "Two actresses only (64 and 26 years), so no split into three parts is speaker-disjoint; random "
            "splits share speakers and words. All 200 words are said in every emotion."
        ),
        defects=(
            "OA_bite_neutral.wav lacks an F and is read as OAF. Copies with the folder nested in itself repeat clips; "
            "each is kept once."
        ),
    ),
    form="OAF_angry/OAF_back_angry.wav",
    path=r"(?P<speaker>oaf?|yaf)_(?P<word>[a-z]+)_(?P<emotion>[a-z]+)",
    key="{speaker}_{word}_{emotion}",
    speaker="tess/{speaker}",
    upper=("speaker",),
    emotions={
        "angry": "angry",
        "disgust": "disgust",
        "fear": "fear",
        "happy": "happy",
        "neutral": "neutral",
        "ps": "pleasant surprise",
        "sad": "sad",
    },
    columns={
        "speaker": ("speaker", {"OAF": "tess/OAF", "OA": "tess/OAF", "YAF": "tess/YAF"}),
        "age": ("speaker", {"OAF": 64, "OA": 64, "YAF": 26}),
        "text": ("word", "Say the word {}.".format),
        "prompt": ("word", str),
    },
    constants={"language": "en", "gender": "female"},
    expected=2800,
)

_EMODB_SPEAKERS = {
    "03": ("male", 31),
    "08": ("female", 34),
    "09": ("female", 21),
    "10": ("male", 32),
    "11": ("male", 26),
    "12": ("male", 30),
    "13": ("female", 32),
    "14": ("female", 35),
    "15": ("male", 25),
    "16": ("female", 31),
}
EMODB = Coded(
    name="emodb",
    title="EMO-DB",
    about=About(
        title="Berlin Database of Emotional Speech (EMO-DB)",
        languages=("de",),
        access="Free download from emodb.bilderbar.info.",
        licence="Free to use with attribution; the site states no other licence.",
        citation=(
            "Burkhardt, Paeschke, Rolfes, Sendlmeier & Weiss 2005, A database of German emotional speech, Interspeech, "
            "doi 10.21437/Interspeech.2005-446"
        ),
        layout="wav/03a01Fa.wav: speaker, sentence, emotion, version; 535 clips.",
        labels=(
            "Seven acted categories: anger (W), boredom (L), disgust (E), fear (A), happiness (F), sadness (T), "
            "neutral (N); boredom has no shared category. No dimensions. Columns: age (years), statement (a01 to b10), "
            "version."
        ),
        protocol=(
            "Leave one speaker out (ten speakers) or speaker-disjoint folds. All ten sentences are in every part. "
            "EmoBox's published folds share all ten speakers between training and test."
        ),
        defects="The owners left out clips that most listeners did not recognise, which makes recognition easier.",
    ),
    form="wav/03a01Fa.wav",
    path=r"(?P<speaker>\d\d)(?P<statement>[ab]\d\d)(?P<emotion>[a-z])(?P<version>[a-z])",
    key="{speaker}{statement}{emotion}{version}",
    speaker="emodb/{speaker}",
    upper=("emotion",),
    emotions={
        "W": "anger",
        "L": "boredom",
        "E": "disgust",
        "A": "fear",
        "F": "happiness",
        "T": "sadness",
        "N": "neutral",
    },
    columns={
        "gender": ("speaker", {speaker: gender for speaker, (gender, _) in _EMODB_SPEAKERS.items()}),
        "text": (
            "statement",
            {
                "a01": "Der Lappen liegt auf dem Eisschrank.",
                "a02": "Das will sie am Mittwoch abgeben.",
                "a04": "Heute abend könnte ich es ihm sagen.",
                "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
                "a07": "In sieben Stunden wird es soweit sein.",
                "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
                "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
                "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
                "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
                "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
            },
        ),
        "age": ("speaker", {speaker: age for speaker, (_, age) in _EMODB_SPEAKERS.items()}),
        "statement": ("statement", str),
        "version": ("version", str),
    },
    constants={"language": "de"},
    expected=535,
)

EMOVO = Coded(
    name="emovo",
    title="EMOVO",
    about=About(
        title="EMOVO, Italian emotional speech database",
        languages=("it",),
        access="Free download from the Fondazione Ugo Bordoni (voice.fub.it).",
        licence="For non-commercial use with acknowledgement.",
        citation=(
            "Costantini, Iaderola, Paoloni & Todisco 2014, EMOVO Corpus: an Italian emotional speech database, LREC"
        ),
        layout="f1/dis-f1-b1.wav: emotion, speaker (f1 to f3, m1 to m3), sentence; 588 clips.",
        labels=(
            "Seven acted categories: disgust (dis), joy (gio), neutral (neu), fear (pau), anger (rab), surprise (sor), "
            "sadness (tri). No dimensions. Column: statement (b1 to n5)."
        ),
        protocol=(
            "Leave one speaker out. All 14 sentences, five of them nonsense, are in every part. Three of them are also "
            "in Emozionalmente."
        ),
        defects="Copies of the sentence list differ in the punctuation of l1 and l3.",
    ),
    form="f1/dis-f1-b1.wav",
    path=r"(?P<emotion>[a-z]{3})-(?P<speaker>(?P<gender>[fm])[1-3])-(?P<statement>[a-z]\d)",
    key="{emotion}-{speaker}-{statement}",
    speaker="emovo/{speaker}",
    emotions={
        "dis": "disgust",
        "gio": "joy",
        "neu": "neutral",
        "pau": "fear",
        "rab": "anger",
        "sor": "surprise",
        "tri": "sadness",
    },
    columns={
        "gender": ("gender", GENDER),
        "text": (
            "statement",
            {
                "b1": "Gli operai si alzano presto.",
                "b2": "I vigili sono muniti di pistola.",
                "b3": "La cascata fa molto rumore.",
                "l1": "L'autunno prossimo Tony partirà per la Spagna nella prima metà di ottobre.",
                "l2": "Ora prendo la felpa di là ed esco per fare una passeggiata.",
                "l3": "Un attimo dopo s'è incamminato ... ed è inciampato.",
                "l4": "Vorrei il numero telefonico del Signor Piatti.",
                "n1": "La casa forte vuole col pane.",
                "n2": "La forza trova il passo e l'aglio rosso.",
                "n3": "Il gatto sta scorrendo nella pera.",
                "n4": "Insalata pastasciutta coscia d'agnello limoncello.",
                "n5": "Uno quarantatré dieci mille cinquantasette venti.",
                "d1": "Sabato sera cosa farà?",
                "d2": "Porti con te quella cosa?",
            },
        ),
        "statement": ("statement", str),
    },
    constants={"language": "it"},
    expected=588,
)

_CAFE_AGES = (46, 64, 18, 50, 22, 34, 15, 25, 42, 20, 35, 37)
CAFE = Coded(
    name="cafe",
    title="CaFE",
    about=About(
        title="Canadian French Emotional speech dataset (CaFE)",
        languages=("fr",),
        access="Free download from Zenodo, doi 10.5281/zenodo.1478765: CaFE_48k.zip (the 192 kHz release is .aiff).",
        licence="CC BY-NC-SA 4.0",
        citation=(
            "Gournay, Lahaie & Lefebvre 2018, A Canadian French emotional speech dataset, ACM MMSys, "
            "doi 10.1145/3204949.3208121"
        ),
        layout="Colère/Faible/01-C-1-1.wav: actor-emotion-intensity-sentence; 936 clips; folders have no meaning here.",
        labels=(
            "Seven acted categories: anger (C), disgust (D), joy (J), neutral (N), fear (P), surprise (S), sadness "
            "(T). No dimensions. Columns: intensity (mild, strong; neutral is marked mild), statement (1 to 6), age "
            "(years)."
        ),
        protocol="Leave one speaker out, or speaker-disjoint folds. All six sentences are in every part.",
        defects=(
            "Accents in folder names are broken by some unpackers, which does no harm here. The ages were confirmed "
            "from one copy of the owners' list only."
        ),
    ),
    form="Colère/Faible/01-C-1-1.wav",
    path=r"(?P<actor>\d\d)-(?P<emotion>[a-z])-(?P<intensity>[12])-(?P<statement>\d)",
    key="{actor}-{emotion}-{intensity}-{statement}",
    speaker="cafe/{actor}",
    upper=("emotion",),
    emotions={
        "C": "anger",
        "D": "disgust",
        "J": "joy",
        "N": "neutral",
        "P": "fear",
        "S": "surprise",
        "T": "sadness",
    },
    columns={
        "gender": ("actor", lambda actor: "female" if int(actor) % 2 == 0 else "male"),
        "text": (
            "statement",
            {
                "1": "Un cheval fou dans mon jardin.",
                "2": "Deux ânes aigris au pelage brun.",
                "3": "Trois cygnes aveugles au bord du lac.",
                "4": "Quatre vieilles truies éléphantesques.",
                "5": "Cinq pumas fiers et passionnés.",
                "6": "Six ours aimants domestiqués.",
            },
        ),
        "intensity": ("intensity", {"1": "mild", "2": "strong"}),
        "statement": ("statement", int),
        "age": ("actor", {f"{actor:02d}": age for actor, age in enumerate(_CAFE_AGES, 1)}),
    },
    constants={"language": "fr"},
    expected=936,
)

CORPORA = {table.name: table.corpus for table in (SAVEE, TESS, EMODB, EMOVO, CAFE)}
