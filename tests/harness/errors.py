"""What a call was refused with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest


def refused(code: grpc.StatusCode, call: Callable[..., Any], *arguments: Any, **named: Any) -> str:
    """Calls, expects this status code, and returns the message that came with it."""
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **named)
    error: Any = caught.value
    assert error.code() == code, f"{error.code()}: {error.details()}"
    return str(error.details())
