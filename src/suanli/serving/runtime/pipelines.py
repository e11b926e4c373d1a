"""Classification of texts and images, and speech into text, by the pipelines of transformers.

Inputs are JSON: texts as they are, images and sound (16-bit WAV) as base64, with or without `data:...;base64,` before.
"""

import base64
import binascii
import io
import wave
from collections.abc import Callable
from typing import Any

import numpy as np

from suanli.domain.errors import SpecError
from suanli.serving.runtime.files import config_of
from suanli.serving.runtime.loaded import Compute, Loaded
from suanli.serving.runtime.options import Options
from suanli.serving.runtime.pretrained import pretrained, tokenizer_of

PIXELS_MAX = 50_000_000


async def load(options: Options, compute: Compute) -> Loaded:
    infer, sample = await compute.run(MADE[options.task], options)

    async def inferred(inputs: list[Any]) -> list[Any]:
        return await compute.run(infer, inputs)

    async def warm_up() -> None:
        await inferred([sample])

    facts = {"runtime": "transformers", "task": options.task}
    tokens = await compute.run(_counter, options) if options.task == "text-classification" else None
    return Loaded(infer=inferred, tokens=tokens, warm_up=warm_up, facts=facts)


Infer = Callable[[list[Any]], list[Any]]


def _text_classification(options: Options) -> tuple[Infer, Any]:
    """An output is a list of `{label, score}`, the likeliest first."""
    from transformers import AutoModelForSequenceClassification, pipeline

    model = pretrained(AutoModelForSequenceClassification, options)
    tokenizer = tokenizer_of(options.model_dir)
    run: Any = pipeline("text-classification", model=model, tokenizer=tokenizer, device=model.device)
    # a tokenizer that names no length of its own says 10^30
    tokens_max = min(tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", 512))

    def infer(inputs: list[Any]) -> list[Any]:
        texts = [_text(one) for one in inputs]
        return run(texts, top_k=None, batch_size=len(texts), truncation=True, max_length=tokens_max)

    return infer, "a"


def _image_classification(options: Options) -> tuple[Infer, Any]:
    """An output is a list of `{label, score}`, the likeliest first."""
    from transformers import AutoImageProcessor, AutoModelForImageClassification, pipeline

    model = pretrained(AutoModelForImageClassification, options)
    processor = AutoImageProcessor.from_pretrained(
        options.model_dir, local_files_only=True, trust_remote_code=False
    )
    run: Any = pipeline("image-classification", model=model, image_processor=processor, device=model.device)

    def infer(inputs: list[Any]) -> list[Any]:
        images = [_image(one) for one in inputs]
        return run(images, batch_size=len(images))

    return infer, _sample_image()


def _speech_recognition(options: Options) -> tuple[Infer, Any]:
    """An output is `{text}`."""
    from transformers import AutoFeatureExtractor, AutoModelForCTC, AutoModelForSpeechSeq2Seq, pipeline

    letters = any(
        str(name).endswith("ForCTC") for name in config_of(options.model_dir).get("architectures") or []
    )
    model = pretrained(AutoModelForCTC if letters else AutoModelForSpeechSeq2Seq, options)
    extractor = AutoFeatureExtractor.from_pretrained(
        options.model_dir, local_files_only=True, trust_remote_code=False
    )
    run: Any = pipeline(
        "automatic-speech-recognition",
        model=model,
        tokenizer=tokenizer_of(options.model_dir),
        feature_extractor=extractor,
        device=model.device,
    )
    rate_hz = extractor.sampling_rate

    def infer(inputs: list[Any]) -> list[Any]:
        sounds = [_sound(one, rate_hz) for one in inputs]
        return [{"text": said["text"]} for said in run(sounds, batch_size=len(sounds))]

    return infer, _sample_sound(rate_hz)


def _counter(options: Options) -> Callable[[str], int]:
    """With a tokenizer of its own: the pipeline's is changed by each call, and may not be asked beside it."""
    tokenizer = tokenizer_of(options.model_dir)
    return lambda text: len(tokenizer(text, verbose=False)["input_ids"])


MADE: dict[str, Callable[[Options], tuple[Infer, Any]]] = {
    "text-classification": _text_classification,
    "image-classification": _image_classification,
    "speech-recognition": _speech_recognition,
}


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise ValueError(f"each input must be a text, one is {type(given).__name__}")
    return given


def _bytes(given: Any, what: str) -> bytes:
    if not isinstance(given, str):
        raise ValueError(f"each input must be {what} as base64, one is {type(given).__name__}")
    try:
        return base64.b64decode(given.rpartition(";base64,")[2], validate=True)
    except binascii.Error as error:
        raise ValueError(f"an input is not base64: {error}") from error


def _image(given: Any) -> Any:
    """An RGB image. Its size is looked at before it is unpacked."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise SpecError("images need Pillow", remedy="pip install pillow") from error

    try:
        image = Image.open(io.BytesIO(_bytes(given, "an image")))
        if image.width * image.height > PIXELS_MAX:
            raise ValueError(f"an image has {image.width} × {image.height} pixels; {PIXELS_MAX} is the most")
        return image.convert("RGB")
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError) as error:
        raise ValueError(f"an input is not an image that can be read: {error}") from error


def _sound(given: Any, rate_hz: int) -> dict[str, Any]:
    """Samples from -1 to 1 of a WAV file, its channels averaged."""
    try:
        with wave.open(io.BytesIO(_bytes(given, "a WAV file"))) as file:
            rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            frames = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"an input is not a WAV file: {error}") from error
    if width != 2 or rate != rate_hz:
        raise ValueError(f"sound must be 16-bit at {rate_hz} Hz; an input is {8 * width}-bit at {rate} Hz")
    samples = np.frombuffer(frames, np.int16).reshape(-1, channels).mean(1) / 32768
    if not len(samples):
        raise ValueError("an input has no sound in it")
    return {"raw": samples.astype(np.float32), "sampling_rate": rate}


def _sample_image() -> str:
    from PIL import Image

    written = io.BytesIO()
    Image.new("RGB", (8, 8)).save(written, "PNG")
    return base64.b64encode(written.getvalue()).decode()


def _sample_sound(rate_hz: int) -> str:
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setparams((1, 2, rate_hz, rate_hz, "NONE", ""))
        file.writeframes(bytes(2 * rate_hz))
    return base64.b64encode(written.getvalue()).decode()
