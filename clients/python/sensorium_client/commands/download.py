"""``sensorium download``: the bytes of a stored asset, or of a rendition of it, into a file."""

import asyncio
import hashlib
import mimetypes
import re
import sys
from contextlib import AbstractAsyncContextManager, aclosing, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from sensorium_client.client import Client
from sensorium_client.connection import connected
from sensorium_client.downloads import (
    Content,
    Download,
    DownloadDamaged,
    OpenAt,
    PartFile,
    Show,
    append,
    complete,
)
from sensorium_client.events import to_json
from sensorium_client.render.places import file_size, rendition_table
from sensorium_client.stored_files import AssetUrl, Rendition
from sensorium_client.terminal import (
    CommandError,
    JsonOption,
    ServerOption,
    output,
    print_json,
    progress_output,
    run_command,
)

_RANGE = re.compile(r"(\d+)-(\d*)")
_UNFIT = re.compile(r"[\x00-\x1f\x7f/\\]")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class _Wanted:
    """``length`` bytes from ``first`` on; 0 means all that follow."""

    asset_id: str
    rendition: str
    first: int
    length: int

    @property
    def is_whole(self) -> bool:
        return not self.first and not self.length

    def open(self, client: Client, offset: int = 0) -> AbstractAsyncContextManager[Download]:
        return client.download(
            self.asset_id,
            offset=self.first + offset,
            length=self.length,
            rendition=self.rendition,
        )


def download(
    asset: Annotated[
        str,
        typer.Argument(metavar="ASSET", help="Id of a stored asset, or the SHA-256 of its bytes."),
    ],
    target: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to; - is the standard output."),
    ] = None,
    rendition: Annotated[
        str, typer.Option(metavar="NAME", help='Such as "thumbnail"; default: the original.')
    ] = "",
    range_: Annotated[
        str,
        typer.Option(
            "--range", metavar="FIRST-LAST", help="Only these bytes, from 0; 500- is all after 499."
        ),
    ] = "",
    list_: Annotated[
        bool, typer.Option("--list", help="Only tell which renditions there are.")
    ] = False,
    url: Annotated[
        bool, typer.Option("--url", help="Only tell a URL that needs no client, for an hour.")
    ] = False,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Fetch the bytes of a stored asset.

    An interrupted download, started again, goes on. The file is checked against its SHA-256
    and has its name only when it is whole.

    Examples:

      sensorium download 1f3870be274f6c49b3e31a0c6728957f

      sensorium download 1f3870be274f6c49b3e31a0c6728957f --rendition thumbnail -o small.jpg

      sensorium download 1f3870be274f6c49b3e31a0c6728957f -o - | ffprobe -
    """
    first, length = _parse_range(range_)

    async def run() -> int:
        async with connected(server, progress_output()) as client:
            asset_id = await _known_id(client, asset)
            if list_:
                _print_renditions(await client.renditions(asset_id), as_json)
                return 0
            if url:
                _print_url(await client.asset_url(asset_id, rendition=rendition), as_json)
                return 0
            wanted = _Wanted(asset_id, rendition, first, length)
            if target == Path("-"):
                await _copy(client, wanted)
                return 0
            content, path = await _fetch(client, wanted, target)
        if as_json:
            print_json({"type": "downloaded", "path": str(path), **to_json(content)})
        else:
            output().print(f"{path}  {file_size(path.stat().st_size)}", markup=False)
        return 0

    run_command(run(), as_json=as_json)


def _print_renditions(renditions: tuple[Rendition, ...], as_json: bool) -> None:
    for rendition in renditions:
        if as_json:
            print_json({"type": "rendition", **to_json(rendition)})
    if not as_json:
        output().print(rendition_table(renditions))


def _print_url(url: AssetUrl, as_json: bool) -> None:
    if as_json:
        print_json({"type": "url", **to_json(url)})
    else:
        print(url.url)


def _parse_range(text: str) -> tuple[int, int]:
    """First byte and length; 0 means all that follow."""
    if not text:
        return 0, 0
    found = _RANGE.fullmatch(text)
    if found is None or (found[2] and int(found[2]) < int(found[1])):
        raise typer.BadParameter("--range is FIRST-LAST, such as 0-499, or FIRST-.")
    first = int(found[1])
    return first, int(found[2]) - first + 1 if found[2] else 0


async def _known_id(client: Client, asset: str) -> str:
    if _SHA256.fullmatch(asset) and (found := await client.find_assets([asset])):
        return found[0].asset_id
    return asset


async def _copy(client: Client, wanted: _Wanted) -> None:
    """To the standard output. What was written cannot be taken back: damage is told afterwards."""
    digest = hashlib.sha256()
    async with wanted.open(client) as download, aclosing(download.pieces()) as pieces:
        async for piece in pieces:
            digest.update(piece)
            await asyncio.to_thread(sys.stdout.buffer.write, piece)
    await asyncio.to_thread(sys.stdout.buffer.flush)
    if wanted.is_whole and digest.hexdigest() != download.content.sha256:
        raise _damaged()


async def _fetch(client: Client, wanted: _Wanted, target: Path | None) -> tuple[Content, Path]:
    """To a file, by way of a part file beside it. A range is small: it begins anew each time."""
    folder = target.parent if target else Path()
    kind = (wanted.rendition or "original") + ("" if wanted.is_whole else ".range")
    name = f".{_UNFIT.sub('_', f'{wanted.asset_id}.{kind}')}.part"
    try:
        part = await asyncio.to_thread(PartFile, folder / name)
    except BlockingIOError:
        raise CommandError("Another download of this asset is at work in this folder.") from None
    with closing(part), _progress() as progress:
        bar = progress.add_task("", total=None)

        def show(content: Content, received_bytes: int) -> None:
            if target is None:
                _default_path(content)  # before its bytes come, which may take long
            total = content.size_bytes if wanted.is_whole else wanted.length or None
            progress.update(
                bar, description=_file_name(content), total=total, completed=received_bytes
            )

        if wanted.is_whole:
            content = await _complete(part, lambda offset: wanted.open(client, offset), show)
        else:
            part.clear()
            content = await append(part, lambda offset: wanted.open(client, offset), show)
        path = target or _default_path(content)
        await asyncio.to_thread(part.finish, path)
    return content, path


async def _complete(part: PartFile, open_at: OpenAt, show: Show) -> Content:
    try:
        return await complete(part, open_at, show)
    except DownloadDamaged:
        raise _damaged() from None


def _damaged() -> CommandError:
    return CommandError("The bytes that came do not have the SHA-256 of the asset.", "Try again.")


def _default_path(content: Content) -> Path:
    """A file of the asset's own name in this folder, which must not be there yet."""
    name = _file_name(content)
    if content.rendition:
        suffix = mimetypes.guess_extension(content.mime_type) or ""
        name = f"{Path(name).stem}.{content.rendition}{suffix}"
    path = Path(name)
    if path.exists():
        raise CommandError(f"{name} is there already.", "Name another file with -o.")
    return path


def _file_name(content: Content) -> str:
    """The asset's name, given by whoever sent it: it must not choose a folder, nor hide."""
    return _UNFIT.sub("_", content.name).lstrip(".") or content.asset_id


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=progress_output(),
        transient=True,
        expand=True,
    )
