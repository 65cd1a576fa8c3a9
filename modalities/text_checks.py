"""Checks of texts: what is no text, and characters that stand for nothing."""

import unicodedata

from modalities.corrections import report_correction
from modalities.errors import DataError


def check_text(text: str, origin: str) -> str:
    """The text with control characters replaced by spaces, which is reported. Line breaks and tabs stay.

    Raises:
        DataError: It has half of a surrogate pair, which stands for no character.
    """
    if text.isascii() and text.isprintable():
        return text
    for index, letter in enumerate(text):
        if 0xD800 <= ord(letter) <= 0xDFFF:
            raise DataError(
                f"{origin} has the lone surrogate U+{ord(letter):04X} at character {index + 1}, which is no text: "
                "write it again as UTF-8."
            )
    controls = [letter for letter in text if unicodedata.category(letter) == "Cc" and not letter.isspace()]
    if not controls:
        return text
    report_correction(f"{origin} has {len(controls)} control characters, replaced by spaces.")
    return text.translate({ord(letter): " " for letter in controls})


def check_one_line(text: str, origin: str, what: str) -> str:
    """The words of a name, which is not empty and has one line.

    Args:
        what: The name's role, such as "class name", for the message.

    Raises:
        DataError: It is empty, has a line break, or is no text.
    """
    checked = check_text(text, origin)
    if not checked.strip() or len(checked.splitlines()) > 1:
        raise DataError(f"{origin} has the {what} {text!r}, expected words in one line.")
    return checked
