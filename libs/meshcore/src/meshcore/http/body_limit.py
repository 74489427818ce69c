"""No request body is read beyond a limit, declared or not."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meshcore.errors import ErrorCode
from meshcore.http.problem import problem_response


class BodyLimitMiddleware:
    """Refuses bodies over `largest` bytes with 413; a body of unknown length is counted while it arrives."""

    def __init__(self, app: ASGIApp, largest: int) -> None:
        self._app = app
        self._largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a body that ends in an error once it is too large."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not declared.isdigit() or int(declared) > self._largest:
            response = problem_response(ErrorCode.TOO_LARGE, f"a body may have at most {self._largest} bytes")
            await response(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._largest:
                # FastAPI lets this one type through its body parser unchanged.
                raise HTTPException(413, f"a body may have at most {self._largest} bytes")
            return message

        await self._app(scope, counted, send)
