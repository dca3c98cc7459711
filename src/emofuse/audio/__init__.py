"""Recordings in, samples and log-Mel frames out, in NumPy alone: what prediction and training share."""

from emofuse.audio.decoders import Note
from emofuse.audio.mel import (
    WHISPER,
    WHISPER_SECONDS,
    FrontEnd,
    hann_window,
    log_mel,
    mel_filter_bank,
    whisper_log_mel,
)
from emofuse.audio.reading import (
    EndsEarly,
    Source,
    decode,
    ends_before,
    header_seconds,
    name_of,
    read_audio,
    read_recording,
    stream_audio,
    stream_samples,
)
from emofuse.audio.samples import (
    MIN_SECONDS,
    SAMPLE_RATE,
    SILENCE_PEAK,
    AudioError,
    channels_cancel,
    channels_of,
    check_samples,
)

__all__ = [
    "MIN_SECONDS",
    "SAMPLE_RATE",
    "SILENCE_PEAK",
    "WHISPER",
    "WHISPER_SECONDS",
    "AudioError",
    "EndsEarly",
    "FrontEnd",
    "Note",
    "Source",
    "channels_cancel",
    "channels_of",
    "check_samples",
    "decode",
    "ends_before",
    "hann_window",
    "header_seconds",
    "log_mel",
    "mel_filter_bank",
    "name_of",
    "read_audio",
    "read_recording",
    "stream_audio",
    "stream_samples",
    "whisper_log_mel",
]
