"""Simple English Wikipedia: articles, one paragraph per line, titles between equals signs."""

from core.corpus.entities import UNESCAPE
from core.corpus.rules import DROPPED, Cleaner, rule

CLEANER = Cleaner(
    version=3,
    steps=(
        UNESCAPE,
        # The title is kept, because the first sentence refers to it. A title begins a document.
        rule(
            "title_mark",
            "\n= = = ",
            r"\n= = = ([^\n]*?)(?: = = =)?(?=\n)",
            "\n\n" + DROPPED + r"\1",
        ),
        rule("section_mark", "\n=", r"\n=+ ?([^=\n]+?) ?=+(?=\n)", "\n" + DROPPED + r"\1"),
        rule("comment", "<!--", r"<!--(?:[^-\n]|-(?!->))*-->", DROPPED),
        rule("template", "{{", r"\{\{[^{}\n]*\}\}"),
        rule("template", "\n{{", r"\n\{\{[^{}\n]*(?=\n)", "\n" + DROPPED),
        rule("table", "\n", r"\n[\x00 ]*(?:\{\||\|)[^\n]*", "\n" + DROPPED),
        rule("switch", "__", r"__[A-Z]{2,30}__"),
        rule("emphasis", "''", r"'''*", ""),
        rule("list_mark", "\n", r"\n[\x00 ]*[*#:;]+[\x00 ]*", "\n" + DROPPED),
        rule("address", "://", r"\[https?://[^\s\[\]]+ ?([^\[\]\n]*)\]", r"\1"),
        rule("file_link", "[[", r"\[\[(?:File|Image|Category):[^\[\]\n]*\]\]"),
        rule("link", "[[", r"\[\[(?:[^\[\]\n]*\|)?([^\[\]|\n]*)\]\]", r"\1"),
        rule("reference", "<ref", r"<ref[^<>\n]*>[^<\n]*</ref>", DROPPED),
        rule("tag", "<", r"</?(?:[bisu]|em|strong|small|sub|sup|ref[^<>\n]{0,200})>", DROPPED),
        rule("tag", "<", r"</?[A-Za-z][^<>\n]{0,200}>"),
        rule("reference", "[", r"\[(?:\d+|edit|citation needed)\]"),
    ),
)
