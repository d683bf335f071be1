"""docs/RUNBOOK.md: its sections and its commands."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/RUNBOOK.md").read_text()


def sections(part: str) -> dict[str, str]:
    """Title -> text of the sections below a part's heading."""
    text = re.split(r"^# ", PAGE, flags=re.MULTILINE)
    [body] = [one for one in text if one.startswith(f"{part}\n")]
    titles_and_texts = re.split(r"^## (.+)\n", body, flags=re.MULTILINE)[1:]
    return dict(zip(titles_and_texts[::2], titles_and_texts[1::2], strict=True))


def commands() -> list[str]:
    """Every shell command of the page, in blocks and in sentences, once each, but those for AWS."""
    found = []
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        found += [block] if "<<" in block else block.splitlines()
    found += re.findall(r"`((?:cat|dagster|grep|ls|python|vieweratlas) [^`\n]+)`", PAGE)
    # With its comment, a command in a block is the same as without it in a sentence.
    once = dict.fromkeys(re.sub(r" +# .*", "", command) for command in found)
    return [command for command in once if "infrastructure/aws/scripts/" not in command]
