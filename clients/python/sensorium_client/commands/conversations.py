"""``sensorium conversations``: what was asked and answered, and is kept."""

from typing import Annotated

import typer
from rich.markup import escape

from sensorium_client import events
from sensorium_client.client import Client
from sensorium_client.connection import connected
from sensorium_client.lasting import StoredConversation
from sensorium_client.render.places import conversation_table, conversation_title
from sensorium_client.terminal import (
    CommandError,
    JsonOption,
    ServerOption,
    output,
    print_json,
    progress_output,
    run_command,
)

PAGE_SIZE_MAX = 1000
LAST = "last"
NEW = "new"

conversations_app = typer.Typer(
    help="List, show, rename and delete the conversations that the server keeps.\n\n"
    '`sensorium ask --conversation new "..."` begins one, `--conversation last` goes on with it.',
    no_args_is_help=True,
)
ConversationArgument = Annotated[
    str, typer.Argument(metavar="CONVERSATION", help='Its id, or "last" for the one last used.')
]


@conversations_app.command("list")
def list_conversations(
    count: Annotated[int, typer.Option(min=1, help="At most this many, those last used.")] = 20,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """List conversations, those last used first."""

    async def run() -> int:
        async with connected(server, progress_output()) as client:
            listed: list[StoredConversation] = []
            async for conversation in client.list_conversations(min(count, PAGE_SIZE_MAX)):
                listed.append(conversation)
                if len(listed) == count:
                    break
        if as_json:
            for conversation in listed:
                _print_json(conversation)
        elif listed:
            output().print(conversation_table(listed))
        else:
            output().print("There are none. `sensorium ask --conversation new` begins one.")
        return 0

    run_command(run(), as_json=as_json)


@conversations_app.command()
def show(
    conversation: ConversationArgument = LAST,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Show the questions and answers of a conversation, and what the answers rest on."""

    async def run() -> int:
        async with connected(server, progress_output()) as client:
            shown = await client.get_conversation(await conversation_id(client, conversation))
            if as_json:
                _print_json(shown)
            else:
                title = escape(conversation_title(shown))
                output().print(f"[bold]{title}[/]  [dim]{shown.conversation_id}[/]")
            async for turn in client.conversation_turns(shown.conversation_id):
                if as_json:
                    print_json({"type": "turn", **events.to_json(turn)})
                    continue
                sources = dict.fromkeys(each.evidence.asset_name for each in turn.citations)
                output().print(f"\n[bold]› {escape(turn.question)}[/]")
                output().print(escape(turn.answer.strip()))
                if sources:
                    output().print(f"[dim]from {escape(', '.join(sources))}[/]")
        return 0

    run_command(run(), as_json=as_json)


@conversations_app.command()
def rename(
    conversation: ConversationArgument,
    name: Annotated[str, typer.Argument(help="Its new name, at most 200 characters.")],
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Give a conversation another name."""

    async def run() -> int:
        async with connected(server, progress_output()) as client:
            renamed = await client.rename_conversation(
                await conversation_id(client, conversation), name
            )
        if as_json:
            _print_json(renamed)
        else:
            output().print(f"renamed {renamed.conversation_id} to {escape(renamed.name)}")
        return 0

    run_command(run(), as_json=as_json)


@conversations_app.command()
def delete(
    conversation: ConversationArgument,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Delete a conversation and its turns. Its files stay: `sensorium delete` deletes those."""

    async def run() -> int:
        async with connected(server, progress_output()) as client:
            deleted = await conversation_id(client, conversation)
            await client.delete_conversation(deleted)
        if as_json:
            print_json({"type": "conversation_deleted", "conversation_id": deleted})
        else:
            output().print(f"deleted {escape(deleted)}")
        return 0

    run_command(run(), as_json=as_json)


async def conversation_id(client: Client, named: str) -> str:
    """The id of a conversation that is named as on the command line; none is made."""
    if named != LAST:
        return named
    async for conversation in client.list_conversations(page_size=1):
        return conversation.conversation_id
    raise CommandError("There is no conversation yet.", "Begin one with --conversation new.")


def _print_json(conversation: StoredConversation) -> None:
    print_json({"type": "conversation", **events.to_json(conversation)})
