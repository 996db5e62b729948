"""A payload store in memory, which keeps large payloads away from the server."""

from __future__ import annotations

import threading

from durabletask.payload import LargePayloadStorageOptions, PayloadStore


class MemoryPayloadStore(PayloadStore):
    """Shared by the clients and workers of one test, as a blob container would be."""

    def __init__(self, threshold: int = 1000, maximum: int = 50_000_000):
        self._options = LargePayloadStorageOptions(threshold_bytes=threshold, max_stored_payload_bytes=maximum)
        self._lock = threading.Lock()
        self.payloads: dict[str, bytes] = {}
        self.owners: dict[str, str | None] = {}

    @property
    def options(self) -> LargePayloadStorageOptions:
        return self._options

    def upload(self, data: bytes, *, instance_id: str | None = None) -> str:
        with self._lock:
            token = f"memory:v1:{len(self.payloads)}"
            self.payloads[token] = data
            self.owners[token] = instance_id
            return token

    async def upload_async(self, data: bytes, *, instance_id: str | None = None) -> str:
        return self.upload(data, instance_id=instance_id)

    def download(self, token: str) -> bytes:
        with self._lock:
            return self.payloads[token]

    async def download_async(self, token: str) -> bytes:
        return self.download(token)

    def is_known_token(self, value: str) -> bool:
        return value.startswith("memory:v1:")
