"""The real applications over real HTTP: a desk on PostgreSQL, two listeners on loopback.

The test is the partner (`Site.call`) and the vault (`Site.vault`). The clock stands still until
it is told to pass.
"""

import asyncio
import hashlib
import hmac
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from swapdesk.db import Database
from swapdesk.engine.partner_admin import create_partner
from swapdesk.partners.partner import Credentials
from swapdesk.partners.secrets import Sealer
from swapdesk.web.app import private_app, public_app
from swapdesk.web.metrics import Metrics
from swapdesk.web.public_bucket import PublicBucket
from swapdesk.web.serve import bind, serve
from tests.rig import BTC_ADDRESS, NOON, TRON_ADDRESS, Rig, TestWorld
from tests.wire_spec import check_answer

#: How long a loaded machine may take for anything here.
DEADLINE_SECONDS: Final = 30
#: Strangers' budget in tests: small enough to exhaust.
PER_ADDRESS: Final = 12
SEALING_KEYS: Final[Mapping[str, bytes]] = {"k1": bytes(range(32))}

#: The seed's own example, with addresses that exist.
PRICE: Final[Mapping[str, object]] = {
    "type": "float", "fromCcy": "btc", "toCcy": "usdt_trc20", "direction": "from", "amount": "0.01",
}  # fmt: skip
CREATE: Final[Mapping[str, object]] = {
    **PRICE, "toAddress": TRON_ADDRESS, "refundAddress": BTC_ADDRESS, "afftax": 50,
}  # fmt: skip


class Clock(TestWorld):
    """The rig's world with tokens of true length and true chance."""

    def token(self, size: int) -> str:
        """See World.token."""
        return secrets.token_urlsafe(size)


def sign(secret: str, body: bytes) -> str:
    """What a partner's client computes."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Site:
    """Both listeners, a partner with credentials, the vault's link key."""

    def __init__(self, rig: Rig, partner: Credentials, client: httpx2.AsyncClient) -> None:
        self.rig = rig
        self.partner = partner
        self.client = client
        self.sealer = Sealer(SEALING_KEYS)
        self.vault_key = Ed25519PrivateKey.generate()
        self.public = ""
        self.private = ""

    async def judge(self, answer: httpx2.Response) -> None:
        """Every public answer must be as the description of the API says."""
        if str(answer.url).startswith(self.public):
            body, call = await answer.aread(), answer.request
            check_answer(call.method, call.url.path, answer.status_code, answer.headers, body)

    async def call(
        self,
        path: str,
        body: Mapping[str, object] | bytes,
        *,
        headers: Mapping[str, str | None] | None = None,
        partner: Credentials | None = None,
        method: str = "POST",
        at: str | None = None,
    ) -> httpx2.Response:
        """A signed call with a fresh nonce; `headers` replaces headers, None leaves one out.

        `at`: another process of the site.
        """
        raw = body if isinstance(body, bytes) else json.dumps(dict(body)).encode()
        who = partner or self.partner
        sent: dict[str, str | None] = {
            "Content-Type": "application/json",
            "X-API-KEY": who.api_key,
            "X-API-SIGN": sign(who.api_secret, raw),
            "X-API-NONCE": secrets.token_hex(16),
            **(headers or {}),
        }
        known = {name: value for name, value in sent.items() if value is not None}
        url = f"{at or self.public}/api/v1/{path}"
        return await self.client.request(method, url, content=raw, headers=known)

    async def stranger(self, path: str, body: Mapping[str, object] | bytes) -> httpx2.Response:
        """An unsigned call."""
        nothing = dict.fromkeys(("X-API-KEY", "X-API-SIGN", "X-API-NONCE"))
        return await self.call(path, body, headers=nothing)

    async def data(self, path: str, body: Mapping[str, object] | bytes, **how: Any) -> Any:
        """The data of a signed call that succeeds."""
        answer = await self.call(path, body, **how)
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert list(told) == ["code", "msg", "data"]
        assert (told["code"], told["msg"]) == (0, "")
        return told["data"]

    def vault_headers(self, path: str, body: bytes, *, at_ms: int | None = None) -> dict[str, str]:
        """What the vault signs for one request of the link."""
        time_ms = str(self.rig.world.now() if at_ms is None else at_ms)
        nonce = secrets.token_hex(16)
        digest = hashlib.sha256(body).hexdigest()
        message = f"POST\n{path}\n{time_ms}\n{nonce}\n{digest}".encode()
        return {
            "X-Vault-Time": time_ms,
            "X-Vault-Nonce": nonce,
            "X-Vault-Sign": self.vault_key.sign(message).hex(),
        }

    async def vault(self, name: str, body: object) -> Any:
        """A call of the link that succeeds."""
        path, raw = f"/vault/v1/{name}", json.dumps(body).encode()
        headers = self.vault_headers(path, raw)
        answer = await self.client.post(self.private + path, content=raw, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def rows(self) -> dict[str, int]:
        """Rows of every table of the desk."""
        async with self.rig.desk.db.transaction() as tx:
            tables = await tx.fetch(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
            )
            return {name: await tx.fetchval(f"SELECT count(*) FROM {name}") for (name,) in tables}


@asynccontextmanager
async def site_on(
    dsn: str, *, webhook_url: str | None = None, now: int = NOON, per_address: int = PER_ADDRESS
) -> AsyncIterator[Site]:
    """A site on the desk's database at `dsn`, served. Its clock begins, and stands, at `now`.

    `per_address`: calls a minute of one stranger.
    """
    db = await Database.open(dsn, name="site")
    rig = Rig(db, Clock(now=now))
    sockets = [bind("127.0.0.1", 0) for _ in range(2)]
    stop = asyncio.Event()
    try:
        await rig.begin()
        async with httpx2.AsyncClient(timeout=DEADLINE_SECONDS) as client:
            sealer = Sealer(SEALING_KEYS)
            partner = await create_partner(
                rig.desk, sealer, name="partner", webhook_url=webhook_url, markup_bps=30
            )
            site = Site(rig, partner, client)
            site.public, site.private = (
                f"http://127.0.0.1:{each.getsockname()[1]}" for each in sockets
            )
            client.event_hooks = {"response": [site.judge]}
            metrics = Metrics()
            bucket = PublicBucket(rig.world, per_address=per_address, everybody=10 * per_address)
            public = public_app(rig.desk, sealer, metrics, bucket=bucket)
            key = site.vault_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            private = private_app(rig.desk, key, metrics)
            apps = [(public, sockets[0]), (private, sockets[1])]
            serving = asyncio.create_task(serve(apps, stop=stop))
            try:
                yield site
            finally:
                await client.aclose()
                stop.set()
                await serving
    finally:
        for each in sockets:
            each.close()
        for chain in rig.chains.values():
            chain.close()
        await db.close()
