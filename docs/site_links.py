"""What the site does not have: files of the repository that pages link to become their names."""

import re
from typing import Any

_LINK = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[^)]*)\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """See MkDocs: turn links that lead out of the documentation into the names of what they lead to."""
    depth = page.file.src_uri.count("/")

    def named(link: re.Match[str]) -> str:
        text, target = link[1], link[2]
        return link[0] if target.count("../") <= depth else f"{text} (`{target.replace('../', '')}`)"

    return _LINK.sub(named, markdown)
