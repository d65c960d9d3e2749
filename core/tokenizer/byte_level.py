"""GPT-2's printable characters for bytes; imports no other module."""


def byte_characters() -> dict[int, str]:
    """GPT-2's printable character for each byte (Radford et al. 2019, `bytes_to_unicode`)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {
        byte: chr(256 + place) for place, byte in enumerate(hidden)
    }
