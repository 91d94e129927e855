"""One record of a Caffe database: a picture, stored or encoded, with its label."""

from __future__ import annotations

import io
import math

import numpy as np
import numpy.typing as npt

from nibblefit.errors import InputError, MissingExtraError
from nibblefit_tidl.caffe.reading import parse_binary
from nibblefit_tidl.caffe.schema import Message, new

#: Field 1 with a length: the Datum inside an AnnotatedDatum. A Datum's field 1 is a number.
_ANNOTATED = b"\x0a"
#: What Pillow's decoders raise on damaged data.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError)


def read_datum(raw: bytes, where: str) -> Message:
    """Return a record's message.

    Raises:
        InputError: It is damaged, or holds an annotated picture.
    """
    if raw.startswith(_ANNOTATED):
        raise InputError(
            f"{where} is an AnnotatedDatum, a picture with boxes, which this reader does not take",
            hint="give the Pascal VOC folder that the database was made from (data.source = 'voc'; "
            "Caffe's create_annoset reads one), or write classes with convert_imageset",
        )
    message, unknown = parse_binary(raw, "Datum", where)
    if unknown and not (message.data or message.float_data):
        raise InputError(
            f"{where} is no Datum but something else",
            hint="write the set with Caffe's convert_imageset; boxes go into VOC files",
        )
    return message


def pixels_of(datum: Message, where: str) -> npt.NDArray[np.uint8] | npt.NDArray[np.float32]:
    """Return the picture (channels, height, width): uint8, or float32 where the datum holds floats.

    An encoded picture is decoded to blue, green, red, the order in which Caffe stores colours.

    Raises:
        InputError: The picture is damaged, or its size contradicts its data.
    """
    if datum.encoded:
        return _decoded(datum.data, where)
    shape = (datum.channels, datum.height, datum.width)
    count = math.prod(shape)
    if datum.float_data:
        values = np.array(datum.float_data, np.float32)
    else:
        values = np.frombuffer(datum.data, np.uint8)
    if min(shape) < 1 or values.size != count:
        raise InputError(
            f"{where} holds {values.size:,} values for the shape {shape}",
            hint="the database is damaged: write it again",
        )
    return values.reshape(shape)


def _decoded(raw: bytes, where: str) -> npt.NDArray[np.uint8]:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("an LMDB set of encoded pictures", "image") from error
    try:
        with Image.open(io.BytesIO(raw)) as picture:
            gray = picture.mode in {"L", "1", "I;16"}
            found = np.asarray(picture.convert("L" if gray else "RGB"), np.uint8)
    except (*_DAMAGE, Image.DecompressionBombError) as error:
        raise InputError(
            f"{where} holds a picture that cannot be decoded: {error}", hint="write the set again"
        ) from error
    return found[None] if gray else np.ascontiguousarray(found.transpose(2, 0, 1)[::-1])


def datum_of(
    picture: npt.NDArray[np.uint8] | npt.NDArray[np.float32], label: int, encoding: str = ""
) -> Message:
    """Return the record of a picture (channels, height, width).

    Args:
        picture: uint8, or floats, which are stored as float32.
        label: Class number.
        encoding: Pillow's name of a lossless or lossy format, such as ``PNG``; empty stores the
            bytes as they are.
    """
    datum = new("Datum")
    datum.channels, datum.height, datum.width = picture.shape
    datum.label = label
    if picture.dtype != np.uint8:
        datum.float_data.extend(picture.astype(np.float32).ravel().tolist())
    elif encoding:
        datum.data, datum.encoded = _encoded(picture, encoding), True
    else:
        datum.data = picture.tobytes()
    return datum


def _encoded(picture: npt.NDArray[np.generic], encoding: str) -> bytes:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("writing encoded pictures", "image") from error
    if picture.shape[0] not in {1, 3}:
        raise InputError(
            f"pictures of {picture.shape[0]} channels cannot be encoded", hint="store them raw"
        )
    plain = picture[0] if len(picture) == 1 else picture[::-1].transpose(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(plain)).save(buffer, format=encoding)
    return buffer.getvalue()
