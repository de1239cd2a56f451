"""What a credential may be good for, and which calls of the contract each scope opens."""

import enum
from collections.abc import Collection

from services.runtime.errors import PermissionDenied


class Scope(enum.StrEnum):
    """A permission that a credential carries."""

    ASK = "ask"
    """Questions over stored media and over media that is sent along."""
    READ = "read"
    """Look at what is stored: search, list, download."""
    WRITE = "write"
    """Store media."""
    DELETE = "delete"
    """Delete media and conversations."""
    ADMIN = "admin"
    """Check and mend the tenant's stores."""
    OPERATE = "operate"
    """See what all tenants used: for who runs the platform, and no tenant."""


REQUIRED: dict[str, tuple[Scope, ...]] = {
    "StreamingConverse": (Scope.ASK,),
    "Ask": (Scope.ASK,),
    "Caption": (Scope.ASK,),
    "Transcribe": (Scope.ASK,),
    "Search": (Scope.READ,),
    "StreamingSearch": (Scope.READ,),
    "FindNearDuplicates": (Scope.READ,),
    "Embed": (Scope.ASK, Scope.READ),
    "Moderate": (Scope.ASK, Scope.READ),
    # Clients look for what need not be sent before they ask and before they store.
    "FindAssets": (Scope.READ, Scope.ASK, Scope.WRITE),
    "GetAsset": (Scope.READ,),
    "ListAssets": (Scope.READ,),
    "DownloadAsset": (Scope.READ,),
    "GetAssetUrl": (Scope.READ,),
    "GetTranscript": (Scope.READ,),
    "GetThumbnail": (Scope.READ,),
    "StreamingUpload": (Scope.WRITE,),
    "GetUpload": (Scope.WRITE,),
    "DeleteAsset": (Scope.DELETE,),
    "CreateConversation": (Scope.ASK,),
    "ListConversations": (Scope.READ, Scope.ASK),
    "GetConversation": (Scope.READ, Scope.ASK),
    "UpdateConversation": (Scope.ASK,),
    "DeleteConversation": (Scope.DELETE,),
    "Check": (Scope.ADMIN,),
    "GetTrace": (Scope.READ, Scope.ASK),
    # Whoever uses something may know how much.
    "GetUsage": tuple(Scope),
}
"""RPC of the gateway -> scopes any of which opens it."""


def check_scope(scopes: Collection[Scope], method: str) -> None:
    """Raises PermissionDenied SCOPE_MISSING, naming what the call needs."""
    wanted = REQUIRED[method]
    if not any(scope in scopes for scope in wanted):
        raise PermissionDenied(
            "SCOPE_MISSING",
            f"{method} needs a credential with the scope {' or '.join(wanted)}.",
            subject=wanted[0],
        )
