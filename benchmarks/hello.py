"""The limit of the server: hello-world with the same settings, for the same requests.

    python -m benchmarks.hello        prints its port, serves until stopped

It reads the body and answers as many bytes as /price does, because both cost something that no
endpoint can save.
"""

import uvloop
from starlette.types import Receive, Scope, Send

from swapdesk.web.serve import bind, serve

BODY = b'{"code":0,"msg":"","data":"' + b"hello, world! " * 36 + b'"}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Decides nothing."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


async def main() -> None:
    """Serve on a free port."""
    listening = bind("127.0.0.1", 0)
    print(listening.getsockname()[1], flush=True)
    await serve([(hello, listening)])


if __name__ == "__main__":
    uvloop.run(main())
