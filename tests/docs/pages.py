"""Finds the fenced blocks of a page, and compares printed text with text that a page quotes."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
NOT_RUN = "no-run"
FENCE = re.compile(
    r"(?:<!-- (?P<comment>[^>]*) -->\n)?^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.M | re.S
)
FILE = re.compile(r"# ([\w/-]+\.(?:py|yaml))\b")
RUN = re.compile(r"\b\d{8}-\d{6}-[0-9a-f]{4}\b")
DATE = re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC")
TIME = re.compile(r"\b\d[\d,]*(\.\d+)? ?(s|ms|us)\b|(?<=\"seconds\": )[\d.]+")
SPEED = re.compile(r"(?<=\"examples_per_second\": )[\d.]+")
DEVICE = re.compile(r"^( *device +).*", re.M)
DECIMAL = re.compile(r"(?<![\w.])\d+\.\d+(?:e[+-]\d+)?(?![\w.])")


@dataclass(frozen=True)
class Block:
    """One fenced block: the words after its fence, its text, and the HTML comment above it."""

    page: Path
    line: int
    words: tuple[str, ...]
    text: str
    comment: str

    @property
    def language(self):
        return self.words[0] if self.words else ""

    @property
    def is_run(self):
        return NOT_RUN not in self.words

    @property
    def file(self):
        """The file that the block is, which a comment in its first line names; else None."""
        named = FILE.match(self.text)
        return named[1] if named and self.language in ("python", "yaml") else None

    def __str__(self):
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page):
    """Return every fenced block of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page,
            text.count("\n", 0, found.start("info")) + 1,
            tuple(found["info"].split()),
            found["text"],
            found["comment"] or "",
        )
        for found in FENCE.finditer(text)
    ]


def commands(block):
    """Yield the commands of a block, each with the output that is quoted below it, or None.

    In a `sh` block every line is a command; in a `console` block a command begins with `$ `, and
    the lines below it are its output. A line that ends in a backslash goes on in the next.
    """
    text = block.text.replace("\\\n", " ")
    if block.language == "sh":
        yield from ((line, None) for line in text.splitlines() if line.split("#")[0].strip())
        return
    for piece in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, _, output = piece.partition("\n")
        yield command, output


def matches(quoted, printed):
    """Return whether printed text is what is quoted.

    In the quoted text `...` stands for any characters, on a line of its own for any lines. Decimal
    numbers may differ by a tenth, whole numbers not at all. Times, speeds, dates, names of runs
    and the device may be others.
    """
    pattern, numbers = "", []
    for line in _masked(quoted).splitlines():
        if line.strip() == "...":
            pattern += r"(?:.*\n)*"
            continue
        pieces = re.split(f"({DECIMAL.pattern})", line.rstrip())
        numbers += map(float, pieces[1::2])
        pattern += f"({DECIMAL.pattern})".join(map(_escaped, pieces[::2])) + r"\s*\n"
    found = re.fullmatch(pattern, _masked(printed).rstrip() + "\n")
    return found is not None and all(
        abs(a - b) <= 0.1 * max(abs(a), abs(b)) + 0.02
        for a, b in zip(map(float, found.groups()), numbers, strict=True)
    )


def _escaped(text):
    return re.sub(r"(\\ )+", r"\\s+", re.escape(text).replace(r"\.\.\.", ".*"))


def _masked(text):
    for pattern, mask in ((RUN, "RUN"), (DATE, "DATE"), (TIME, "TIME"), (SPEED, "SPEED")):
        text = pattern.sub(mask, text)
    return DEVICE.sub(r"\1DEVICE", text)


def anchors(page):
    """Return the names of a page's headings in links."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
