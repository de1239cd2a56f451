"""A typed async client of the Sensorium gateway: media chunks out, tokens and citations in."""

from sensorium_client.channel import Credentials
from sensorium_client.client import Client
from sensorium_client.conversation import Conversation
from sensorium_client.errors import SensoriumClientError
from sensorium_client.media import LiveMedia, MediaFile
from sensorium_client.options import AskOptions

__all__ = [
    "AskOptions",
    "Client",
    "Conversation",
    "Credentials",
    "LiveMedia",
    "MediaFile",
    "SensoriumClientError",
]
