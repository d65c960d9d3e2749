"""Project Gutenberg: books, one paragraph per line, with the markup of the plain-text editions."""

from core.corpus.rules import DROPPED, Cleaner, rule

NOTES = "Illustration|Footnote|Transcriber|Sidenote|Editor|Greek|Music|Blank|Pg|Page|Frontispiece"

CLEANER = Cleaner(
    version=3,
    finds_books=True,
    steps=(
        rule("book_header", "\n= = = ", r"\n= = = [^\n]*(?=\n)", "\n"),
        rule("boilerplate_border", "\n***", r"\n\*{3} ?(?:START|END) [^\n]*(?=\n)", "\n"),
        rule("boilerplate", "Gutenberg", r"\n[^\n]*Project Gutenberg[^\n]*", "\n" + DROPPED),
        rule("boilerplate", "gutenberg.", r"\n[^\n]*gutenberg\.(?:org|net)[^\n]*", "\n" + DROPPED),
        rule(
            "boilerplate",
            "duced by ",
            r"\n(?:Produced|This e-?(?:book|text) was (?:produced|prepared)) by [^\n]*",
            "\n" + DROPPED,
        ),
        rule("boilerplate", "prepared by ", r"\nE-text prepared by [^\n]*", "\n" + DROPPED),
        rule("boilerplate", "Proofread", r"\n[^\n]*Distributed Proofread[^\n]*", "\n" + DROPPED),
        rule("note", "[", rf"\[(?:{NOTES})[^\[\]\n]*\]"),
        rule("reference", "[", r"\[(?:\d+|[A-Z*])\]"),
        rule("reference", "{", r"\{\d+\}"),
        # One of the two underscores may be within a word, as in _any_body.
        rule("italics", "_", r"_(?<![^\W_]_)([^_\n]+)_", r"\1"),
        rule("italics", "_", r"_([^_\n]+)_(?![^\W_])", r"\1"),
        rule("emphasis", "=", r"=(?<!\S=)([^=\s][^=\n]*)=(?![\w=])", r"\1"),
    ),
)
