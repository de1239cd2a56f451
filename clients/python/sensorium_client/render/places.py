"""Evidence, hits and places in words and tables."""

from collections.abc import Iterable
from datetime import datetime

from rich import box
from rich.table import Table
from rich.text import Text

from sensorium_client.events import Citation, StoredAsset
from sensorium_client.findings import NearDuplicate, SearchMatch, SearchResult
from sensorium_client.lasting import StoredConversation
from sensorium_client.locators import Locator
from sensorium_client.stored_files import Rendition

_MODALITY_STYLES = {"text": "yellow", "image": "magenta", "video": "blue", "audio": "green"}


def clock(time_s: float) -> str:
    """ "1:02.5" for 62.5."""
    minutes, rest_s = divmod(round(time_s, 1), 60)
    return f"{int(minutes)}:{rest_s:04.1f}"


def place(locator: Locator) -> str:
    """Where in its asset something lies; time and region on a line each."""
    parts = []
    if locator.span is not None:
        start_s, end_s = locator.span.start_s, locator.span.end_s
        parts.append(clock(start_s) if end_s <= start_s else f"{clock(start_s)} – {clock(end_s)}")
    if locator.region is not None:
        region = locator.region
        parts.append(f"{region.width_px}×{region.height_px} px at {region.left_px},{region.top_px}")
    if locator.chars is not None:
        parts.append(f"characters {locator.chars.start} – {locator.chars.end}")
    return "\n".join(parts) or "whole"


def file_size(size_bytes: float) -> str:
    """ "1.2 MB" for 1,234,567."""
    for unit in ("bytes", "kB", "MB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "bytes" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} GB"


def citation_table(citations: Iterable[Citation]) -> Table:
    """What an answer rests on, and where to look."""
    table = _table("citations")
    table.add_column("", style="bold", no_wrap=True)
    table.add_column("source", overflow="fold", max_width=24)
    table.add_column("where", no_wrap=True)
    table.add_column("how", no_wrap=True)
    table.add_column("evidence", ratio=1, min_width=20)
    table.add_column("weight", justify="right", no_wrap=True)
    for citation in citations:
        evidence = citation.evidence
        table.add_row(
            f"[{evidence.citation_key}]" if evidence.citation_key else "",
            Text(evidence.asset_name, style=_MODALITY_STYLES.get(evidence.modality, "")),
            place(evidence.locator),
            evidence.origin,
            Text(evidence.text),
            f"{evidence.weight:.2f}",
        )
    return table


def result_table(results: Iterable[SearchResult]) -> Table:
    """What a search found, best first, the places of each file below one another."""
    table = _match_table("results")
    for result in results:
        for number, match in enumerate(result.matches):
            _add_match(table, result, match, named=number == 0)
    return table


def flat_table(results: Iterable[SearchResult]) -> Table:
    """The places that a search found, best first, whatever file they are in."""
    table = _match_table("matches")
    places = [(result, match) for result in results for match in result.matches]
    # Equal scores stay in the order of the results.
    for result, match in sorted(places, key=lambda place: -place[1].score):
        _add_match(table, result, match, named=True)
    return table


def _match_table(title: str) -> Table:
    table = _table(title)
    table.add_column("relevance", justify="right", no_wrap=True)
    table.add_column("source", overflow="fold", max_width=24)
    table.add_column("where", no_wrap=True)
    table.add_column("how", no_wrap=True)
    table.add_column("preview", ratio=1, min_width=20)
    return table


def _add_match(table: Table, result: SearchResult, match: SearchMatch, *, named: bool) -> None:
    name = result.asset_name or result.asset_id
    table.add_row(
        f"{match.relevance:.2f}",
        Text(name if named else "", style=_MODALITY_STYLES.get(result.modality, "")),
        place(match.locator),
        match.origin or "likeness",
        Text(match.preview_text),
    )


def duplicate_table(found: Iterable[NearDuplicate]) -> Table:
    """What looks like a picture or video, nearest first."""
    table = _table("look alike")
    table.add_column("bits", justify="right", no_wrap=True)
    table.add_column("source", overflow="fold", ratio=1)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("where", no_wrap=True)
    for duplicate in found:
        description = duplicate.asset.description
        table.add_row(
            str(duplicate.hamming_distance),
            Text(
                description.name or duplicate.asset.asset_id,
                style=_MODALITY_STYLES.get(description.modality, ""),
            ),
            file_size(duplicate.asset.size_bytes),
            place(duplicate.look_alikes[0].locator),
        )
    return table


def conversation_title(conversation: StoredConversation) -> str:
    """What a conversation is called."""
    return conversation.name or "(nothing asked yet)"


def conversation_table(conversations: Iterable[StoredConversation]) -> Table:
    """What was talked about, and when last."""
    table = _table("conversations")
    table.add_column("name", overflow="fold", ratio=1)
    table.add_column("turns", justify="right", no_wrap=True)
    table.add_column("last used", no_wrap=True)
    table.add_column("id", no_wrap=True)
    for each in conversations:
        used = datetime.fromtimestamp(each.update_time_s).astimezone()
        table.add_row(
            Text(conversation_title(each)),
            str(each.turn_count),
            f"{used:%Y-%m-%d %H:%M}",
            each.conversation_id,
        )
    return table


def rendition_table(renditions: Iterable[Rendition]) -> Table:
    """What an asset can be downloaded as besides itself."""
    table = _table("renditions")
    table.add_column("name", no_wrap=True)
    table.add_column("type", no_wrap=True)
    table.add_column("pixels", justify="right", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("at", justify="right", no_wrap=True)
    for rendition in renditions:
        table.add_row(
            rendition.name,
            rendition.mime_type,
            f"{rendition.width_px}×{rendition.height_px}",
            file_size(rendition.size_bytes),
            "" if rendition.time_s is None else clock(rendition.time_s),
        )
    return table


def asset_table(assets: Iterable[StoredAsset]) -> Table:
    """What is stored, and what has become of it. Ids are never broken: they are to be copied."""
    listed = list(assets)
    longest = max((len(asset.asset_id) for asset in listed), default=0)
    table = _table("assets")
    table.add_column("file, id", overflow="fold", width=max(longest, 48))
    table.add_column("state", ratio=1)
    for asset in listed:
        style = _MODALITY_STYLES.get(asset.description.modality, "")
        stored = datetime.fromtimestamp(asset.create_time_s)
        told = Text(asset.description.name or asset.asset_id, style=style)
        told.append(f"  {file_size(asset.size_bytes)}  {stored:%Y-%m-%d %H:%M}", "default")
        told.append(f"\n{asset.asset_id}", "dim")
        table.add_row(told, asset_state(asset))
    return table


def asset_state(asset: StoredAsset) -> Text:
    """Whether an asset can be searched, and what moderation found in it, a line each."""
    blocked = any(found.blocked for found in asset.moderation_findings)
    lines = [] if blocked else [Text("indexed" if asset.indexed else "not indexed yet")]
    for found in asset.moderation_findings:
        where = place(found.locator).replace("\n", ", ")
        verb, style = ("blocked", "bold red") if found.blocked else ("flagged", "yellow")
        lines.append(Text(f"{verb}: {found.category} {found.score:.2f} ({where})", style=style))
    return Text("\n").join(lines)


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        expand=True,
    )
