"""Simple English Wikipedia: articles, a paragraph a line, the title between equals signs."""

from core.corpus.rules import DROPPED, Cleaner, rule

CLEANER = Cleaner(
    version=2,
    steps=(
        # The title stays: it is what the first sentence speaks of. It begins a document.
        rule(
            "title_mark",
            "\n= = = ",
            r"\n= = = ([^\n]*?)(?: = = =)?(?=\n)",
            "\n\n" + DROPPED + r"\1",
        ),
        rule("section_mark", "\n=", r"\n=+ ?([^=\n]+?) ?=+(?=\n)", "\n" + DROPPED + r"\1"),
        rule("template", "{{", r"\{\{[^{}\n]*\}\}"),
        rule("file_link", "[[", r"\[\[(?:File|Image|Category):[^\[\]\n]*\]\]"),
        rule("link", "[[", r"\[\[(?:[^\[\]\n]*\|)?([^\[\]|\n]*)\]\]", r"\1"),
        rule("reference", "<ref", r"<ref[^<>\n]*>[^<\n]*</ref>", DROPPED),
        rule("tag", "<", r"</?(?:[bisu]|em|strong|small|sub|sup|ref[^<>\n]{0,200})>", DROPPED),
        rule("tag", "<", r"</?[A-Za-z][^<>\n]{0,200}>"),
        rule("reference", "[", r"\[(?:\d+|edit|citation needed)\]"),
    ),
)
