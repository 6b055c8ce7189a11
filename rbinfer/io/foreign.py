"""Files that are neither images nor catalogues of a format that is read, told by their first bytes."""

_TO_FITS = "convert it to FITS without stretching it, as Siril does"
_HOLDS = "write what it holds as FITS"
#: How files begin, what they are, and the way out.
FOREIGN = (
    (b"XISF0100", "an XISF image", "save it as FITS, as PixInsight does"),
    (b"LUCAM-RECORDER", "a SER video", "save its frames as FITS, as Siril does"),
    (b"II*\0", "a TIFF or a camera's raw image", _TO_FITS),
    (b"MM\0*", "a TIFF or a camera's raw image", _TO_FITS),
    (b"\x89PNG", "a PNG picture", _TO_FITS),
    (b"\xff\xd8\xff", "a JPEG picture", "take the image that it was made of"),
    (b"\x89HDF", "an HDF5 file", _HOLDS),
    (b"#ASDF", "an ASDF file", _HOLDS),
    (b"\x93NUMPY", "an array of NumPy", _HOLDS),
    (b"PK\x03\x04", "a ZIP archive or a spreadsheet", "unpack it, or save the sheet as CSV"),
    (b"%PDF", "a PDF file", "take the file that it was made of"),
    (b"<!doctype html", "a web page", "what was to be downloaded may have been refused"),
    (b"<html", "a web page", "what was to be downloaded may have been refused"),
)


def told_of(head: bytes) -> str:
    """Say what a file is that is not read, and what to do.

    Parameters
    ----------
    head : bytes
        Its first bytes.

    Returns
    -------
    str
        Such as "it is an XISF image; save it as FITS"; empty where it is none that is known.
    """
    start = head.lstrip()[:20]
    for begins, what, way in FOREIGN:
        if head.startswith(begins) or start.lower().startswith(begins):
            return f"it is {what}; {way}"
    return ""
