"""Corpora whose labels are codes in the file names, without further files; their sources are in about.toml."""

from __future__ import annotations

from dataclasses import replace

from emofuse.corpora.readers.coded import GENDER, Coded


def _codes(meanings: str) -> dict[str, str]:
    """Meaning of each code, from "code meaning, code meaning"; a code alone is the word that it means."""
    pairs = (pair.partition(" ") for pair in meanings.split(", "))
    return {code: meaning or code.lower() for code, _, meaning in pairs}


def _gender_of_number(actor: str) -> str:
    return "male" if int(actor) % 2 else "female"


RAVDESS = Coded(
    name="ravdess",
    title="RAVDESS speech",
    form="Actor_01/03-01-01-01-01-01-01.wav (modality-channel-emotion-intensity-statement-repetition-actor)",
    path=r"(?P<modality>03)-(?P<channel>01)-(?P<emotion>\d\d)-(?P<intensity>\d\d)-(?P<statement>\d\d)-"
    r"(?P<repetition>\d\d)-(?P<actor>\d\d)",
    key="{modality}-{channel}-{emotion}-{intensity}-{statement}-{repetition}-{actor}",
    speaker="ravdess/{actor}",
    emotions=_codes("01 neutral, 02 calm, 03 happy, 04 sad, 05 angry, 06 fearful, 07 disgust, 08 surprised"),
    columns={
        "gender": ("actor", _gender_of_number),
        "text": ("statement", {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}),
        "intensity": ("intensity", {"01": "normal", "02": "strong"}),
        "statement": ("statement", int),
        "repetition": ("repetition", int),
        "vocal_channel": ("channel", {"01": "speech", "02": "song"}),
    },
    constants={"language": "en"},
    glob="**/Actor_*/*",
    ignored=r"0[12]-.*|[^-]*-02(-.*)?",
    expected=1440,
)

RAVDESS_SONG = replace(
    RAVDESS,
    name="ravdess-song",
    title="RAVDESS song",
    form="Actor_01/03-02-01-01-01-01-01.wav (modality-channel-emotion-intensity-statement-repetition-actor)",
    path=RAVDESS.path.replace("(?P<channel>01)", "(?P<channel>02)"),
    emotions={code: word for code, word in RAVDESS.emotions.items() if code <= "06"},
    ignored=r"0[12]-.*|[^-]*-01(-.*)?",
    expected=1012,
)

SAVEE = Coded(
    name="savee",
    title="SAVEE",
    form="AudioData/DC/a01.wav or DC_a01.wav",
    path=r"(?P<speaker>dc|je|jk|kl)[/_]?(?P<prompt>(?P<emotion>sa|su|[adfhn])\d\d)",
    key="{speaker}_{prompt}",
    speaker="savee/{speaker}",
    upper=("speaker",),
    emotions=_codes("a anger, d disgust, f fear, h happiness, n neutral, sa sadness, su surprise"),
    columns={"prompt": ("prompt", str)},
    constants={"language": "en", "gender": "male"},
    expected=480,
)

TESS = Coded(
    name="tess",
    title="TESS",
    form="OAF_angry/OAF_back_angry.wav",
    path=r"(?P<speaker>oaf?|yaf)_(?P<word>[a-z]+)_(?P<emotion>[a-z]+)",
    key="{speaker}_{word}_{emotion}",
    speaker="tess/{speaker}",
    upper=("speaker",),
    emotions=_codes("angry, disgust, fear, happy, neutral, ps pleasant surprise, sad"),
    columns={
        "speaker": ("speaker", {"OAF": "tess/OAF", "OA": "tess/OAF", "YAF": "tess/YAF"}),
        "age": ("speaker", {"OAF": 64, "OA": 64, "YAF": 26}),
        "text": ("word", "Say the word {}.".format),
        "prompt": ("word", str),
    },
    constants={"language": "en", "gender": "female"},
    expected=2800,
)

_EMODB_MEN = {"03": 31, "10": 32, "11": 26, "12": 30, "15": 25}  # ages by speaker
_EMODB_WOMEN = {"08": 34, "09": 21, "13": 32, "14": 35, "16": 31}
EMODB = Coded(
    name="emodb",
    title="EMO-DB",
    form="wav/03a01Fa.wav",
    path=r"(?P<speaker>\d\d)(?P<statement>[ab]\d\d)(?P<emotion>[a-z])(?P<version>[a-z])",
    key="{speaker}{statement}{emotion}{version}",
    speaker="emodb/{speaker}",
    upper=("emotion",),
    emotions=_codes("W anger, L boredom, E disgust, A fear, F happiness, T sadness, N neutral"),
    columns={
        "gender": ("speaker", dict.fromkeys(_EMODB_MEN, "male") | dict.fromkeys(_EMODB_WOMEN, "female")),
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
        "age": ("speaker", _EMODB_MEN | _EMODB_WOMEN),
        "statement": ("statement", str),
        "version": ("version", str),
    },
    constants={"language": "de"},
    expected=535,
)

EMOVO = Coded(
    name="emovo",
    title="EMOVO",
    form="f1/dis-f1-b1.wav",
    path=r"(?P<emotion>[a-z]{3})-(?P<speaker>(?P<gender>[fm])[1-3])-(?P<statement>[a-z]\d)",
    key="{emotion}-{speaker}-{statement}",
    speaker="emovo/{speaker}",
    emotions=_codes("dis disgust, gio joy, neu neutral, pau fear, rab anger, sor surprise, tri sadness"),
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
    form="Colère/Faible/01-C-1-1.wav",
    path=r"(?P<actor>\d\d)-(?P<emotion>[a-z])-(?P<intensity>[12])-(?P<statement>\d)",
    key="{actor}-{emotion}-{intensity}-{statement}",
    speaker="cafe/{actor}",
    upper=("emotion",),
    emotions=_codes("C anger, D disgust, J joy, N neutral, P fear, S surprise, T sadness"),
    columns={
        "gender": ("actor", _gender_of_number),
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

SUBESCO = Coded(
    name="subesco",
    title="SUBESCO",
    form="F_01_OISHI_S_1_ANGRY_1.wav",
    path=r"(?P<gender>[fm])_(?P<number>\d\d)_(?P<person>[a-z]+)_s_(?P<statement>\d+)_(?P<emotion>[a-z]+)_(?P<take>\d)\]?",
    key="{gender}_{number}_{person}_S_{statement}_{emotion}_{take}",
    speaker="subesco/{gender}_{number}",
    upper=("gender", "person", "emotion"),
    emotions=_codes("ANGRY, DISGUST, FEAR, HAPPY, NEUTRAL, SAD, SURPRISE"),
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
    form="Angry/SM1_F10_A010.wav",
    path=r"(?P<speaker>s(?P<gender>[fm])\d+)_(?P<file>f\d+)_(?P<emotion>[a-z])(?P<number>\d+)",
    key="{speaker}_{file}_{emotion}{number}",
    speaker="urdu/{speaker}",
    upper=("speaker", "file", "emotion"),
    emotions=_codes("A angry, H happy, N neutral, S sad"),
    columns={"gender": ("gender", GENDER)},
    constants={"language": "ur"},
    expected=400,
)

ASED = Coded(
    name="ased",
    title="ASED",
    form="01Neutral/n1-01-01-01-01.wav",
    path=r"(?P<emotion>[a-z])(?P<folder>\d)-(?P<prompt>\d\d)-(?P<repetition>\d\d)-(?P<gender>\d\d)-(?P<speaker>\d\d)",
    key="{emotion}{folder}-{prompt}-{repetition}-{gender}-{speaker}",
    speaker="ased/{speaker}",
    emotions=_codes("n neutral, f fearful, h happy, s sad, a angry"),
    columns={
        "gender": ("gender", {"01": "female", "02": "male"}),
        "prompt": ("prompt", int),
        "repetition": ("repetition", int),
    },
    constants={"language": "am"},
    expected=2474,
)

CORPORA = {
    table.name: table.corpus for table in (RAVDESS, RAVDESS_SONG, SAVEE, TESS, EMODB, EMOVO, CAFE, SUBESCO, URDU, ASED)
}
