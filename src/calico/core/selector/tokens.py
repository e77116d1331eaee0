"""Cut selector text into tokens.

    "app == 'web'" --tokenize--> label app, ==, string web, end

Blanks are space and tab alone. The words of word operators (contains, starts with, in ...) are
operators only right after a label; elsewhere they are labels, so `in in {"x"}` is legal.

Source: libcalico-go/lib/selector/tokenizer; policy-semantics 3.1.1.
"""

import re
from typing import NamedTuple

LONGEST_LABEL = 512
LABEL = r"[A-Za-z0-9_./-]+"
BLANK = r"[ \t]*"
WORD_END = r"(?![A-Za-z0-9_./-])"
PLAIN = re.compile(
    rf"""(?P<sign>&&|\|\||==|!=|!|[(){{}},])
    |"(?P<double>[^"]*)"
    |'(?P<single>[^']*)'
    |has\({BLANK}(?P<has>{LABEL}){BLANK}\)
    |(?P<all>all\({BLANK}\))
    |(?P<global>global\({BLANK}\))
    |(?P<label>{LABEL})""",
    re.VERBOSE,
)
WORDS = {
    "contains": re.compile(f"contains{WORD_END}"),
    "starts with": re.compile(f"starts{BLANK}with{WORD_END}"),
    "ends with": re.compile(f"ends{BLANK}with{WORD_END}"),
    "not in": re.compile(f"not{BLANK}in{WORD_END}"),
    "in": re.compile(f"in{WORD_END}"),
}
BLANKS = re.compile(BLANK)
KINDS = {  # the kind of a token by the group it matched; a sign is its own kind
    "double": "string",
    "single": "string",
    "has": "has",
    "all": "all",
    "global": "global",
    "label": "label",
}


class SelectorError(ValueError):
    """Text that is not a selector; `column` counts characters from 1."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(f"{message} (column {column})")
        self.message = message
        self.column = column


class Token(NamedTuple):
    """One word of a selector. Kinds: a sign or word operator, or label, string, has, all ..."""

    kind: str
    value: str
    column: int


def tokenize(text: str) -> list[Token]:
    """Return the tokens of a selector, ending with one of kind "end". Raises SelectorError."""
    tokens: list[Token] = []
    position, after_label = skip_blanks(text, 0), False
    while position < len(text):
        token, position = next_token(text, position, after_label=after_label)
        tokens.append(token)
        after_label = token.kind == "label"
        position = skip_blanks(text, position)
    tokens.append(Token("end", "", len(text) + 1))
    return tokens


def skip_blanks(text: str, position: int) -> int:
    """Return where the next token starts."""
    found = BLANKS.match(text, position)
    return position if found is None else found.end()


def next_token(text: str, position: int, *, after_label: bool) -> tuple[Token, int]:
    """Return the token that starts here, and where it ends. Raises SelectorError."""
    if after_label:
        for word, pattern in WORDS.items():
            found = pattern.match(text, position)
            if found is not None:
                return Token(word, "", position + 1), found.end()
    found = PLAIN.match(text, position)
    if found is None:
        raise SelectorError(complaint(text[position]), position + 1)
    group = str(found.lastgroup)
    token = Token(KINDS.get(group, found[group]), found[group], position + 1)
    if after_label and token.kind in {"label", "has", "all", "global"}:
        raise SelectorError(
            f"'{found[0]}' is not an operator: after a label comes ==, !=, in, not in, "
            "contains, starts with or ends with",
            token.column,
        )
    check_length(token)
    return token, found.end()


def check_length(token: Token) -> None:
    """Refuse a label name that is too long. Raises SelectorError."""
    if token.kind in {"label", "has"} and len(token.value) > LONGEST_LABEL:
        raise SelectorError(f"label name is longer than {LONGEST_LABEL} characters", token.column)


def complaint(character: str) -> str:
    """Say why no token starts with this character."""
    if character in "\"'":
        return f"string has no closing {character}"
    if character in "=&|":
        return f"a single {character}; write {character * 2}"
    if character in "\r\n":
        return "a selector is one line"
    return f"unexpected character {character!r}"
