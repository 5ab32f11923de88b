"""The description of the API: fresh, well formed, complete; and the page that draws it."""

import asyncio
import hashlib
import json
import re
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
import schemathesis
from starlette.routing import Route as Page

from swapdesk.web.signed_v1 import Route
from swapdesk.webhooks import events
from tests.http_site import Site
from tests.wire_spec import DOCUMENT, PAGES, judge, operations, resolve

pytestmark = pytest.mark.anyio

ROOT: Final = Path(__file__).parents[2]
VENDOR: Final = ROOT / "src/swapdesk/web/vendor"
#: Redoc's own mark is on another host, so the page's policy stops it; nothing else may be stopped.
FOREIGN_IMAGE: Final = "https://cdn.redoc.ly/redoc/logo-mini.svg"
BROWSER_SECONDS: Final = 60


def test_what_is_served_is_what_was_written() -> None:
    """openapi.json is drawn from openapi.yaml."""
    page = runpy.run_path(str(ROOT / "tools" / "write-openapi"))["page"]()
    assert (ROOT / "src/swapdesk/web/openapi.json").read_text() == page, "run `make docs`"


def test_it_is_well_formed() -> None:
    """OpenAPI 3.1, by its own schema, and every reference leads somewhere."""
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    schema.validate()
    named = set(re.findall(r'"#/([^"]+)"', json.dumps(DOCUMENT)))
    for name in named:
        resolve({"$ref": f"#/{name}"})
    components = DOCUMENT["components"]
    unused = {
        f"components/{kind}/{name}"
        for kind in ("schemas", "responses")
        for name in components[kind]
    } - named
    assert unused == set()


def _contents(node: Any) -> Iterator[dict[str, Any]]:
    """Every media type with an example and a schema, wherever it stands."""
    if isinstance(node, dict):
        if {"schema", "example"} <= node.keys():
            yield node
        for each in node.values():
            yield from _contents(each)
    elif isinstance(node, list):
        for each in node:
            yield from _contents(each)


def test_every_example_is_one() -> None:
    """Examples of requests, answers, headers and webhooks fit their schemas, without a field more."""
    found = list(_contents(DOCUMENT))
    assert len(found) > 40
    for each in found:
        judge(each["schema"]).validate(each["example"])
    for schema in DOCUMENT["components"]["schemas"].values():
        for name, part in schema.get("properties", {}).items():
            for example in part.get("examples", ()):
                assert judge(part).is_valid(example), name


async def test_everything_routed_is_described(routes: dict[tuple[str, str], Route | Page]) -> None:
    """And everything described is routed, method by method."""
    served = {(method, path) for method, path in routes if path not in PAGES}
    assert served == set(operations())


async def test_weights_and_credentials_are_described(
    routes: dict[tuple[str, str], Route | Page],
) -> None:
    """`Weight N` is what is charged; credentials are required where the route requires them."""
    for (method, path), route in routes.items():
        if path in PAGES:
            continue
        operation = operations()[method, path]
        security = operation.get("security", DOCUMENT["security"])
        if isinstance(route, Route):
            told = re.findall(r"Weight (\d+)", operation["description"])
            assert told == [str(route.weight)], path
            assert ({} not in security) is route.required, path
        else:
            assert security == [], path
    heavy = [
        f"`{r.name}` {r.weight}" for r in routes.values() if isinstance(r, Route) and r.weight > 1
    ]
    page = (ROOT / "docs/partner/polling.md").read_text()
    assert f"{', '.join(heavy)}, everything else 1" in page


async def test_webhooks_are_as_described(site: Site) -> None:
    """Every event there is has its description, and the bodies that we send fit it."""
    hooks = DOCUMENT["webhooks"]
    assert set(hooks) == {*events.EVENTS, events.PROBE}
    site.rig.partner_id = site.partner.partner_id
    site.rig.pay((await site.rig.open()).view.order)
    await site.rig.mine(count=2)
    async with site.rig.desk.db.transaction() as tx:
        bodies = [row["body"] for row in await tx.fetch("SELECT body FROM webhook_event")]
    assert bodies
    bodies += [
        events.paid_out_body(events.PaidOut(1, 2, 3, 4, "a reference"), 5),
        events.cleared_body(events.Cleared(1, 2), 3),
        events.probe_body(6),
    ]
    for body in bodies:
        event = json.loads(body)
        content = hooks[event["event"]]["post"]["requestBody"]["content"]["application/json"]
        judge(content["schema"]).validate(event)


def test_vendored_files_are_what_they_say() -> None:
    """Each file of others has its row, its hash and its licence."""
    rows = re.findall(
        r"^\| `([\w.]+)` \|.*`([0-9a-f]{64})` \|$", (VENDOR / "README.md").read_text(), re.MULTILINE
    )
    assert {name for name, _ in rows} == {path.name for path in VENDOR.glob("*.js")}
    for name, digest in rows:
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest
        assert (VENDOR / f"{name.partition('.')[0]}.LICENSE.txt").exists()


async def test_the_pages_are_served(site: Site) -> None:
    """Compressed where that is understood, unchanged 304, and only what the page needs is let in."""
    answer = await site.client.get(site.public + "/openapi.json")
    assert answer.json() == DOCUMENT
    plain = await site.client.get(
        site.public + "/docs/redoc.js", headers={"Accept-Encoding": "identity"}
    )
    assert plain.content == (VENDOR / "redoc.standalone.js").read_bytes()
    again = await site.client.get(
        site.public + "/docs/redoc.js", headers={"If-None-Match": plain.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    pages = [await site.client.get(site.public + "/docs") for _ in range(2)]
    policies = [page.headers["content-security-policy"] for page in pages]
    assert policies[0] != policies[1]  # a nonce is for once
    for page, policy in zip(pages, policies, strict=True):
        assert "default-src 'none'; script-src 'self'; " in policy
        assert "unsafe" not in policy and "http" not in policy
        assert not re.search(r"(src|href)=\"(https?:)?//", page.text)


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1400])
async def test_the_page_is_drawn(site: Site, width: int, tmp_path: Path) -> None:
    """Every operation is on it, nothing is wider than the window, and no other host is asked."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("needs Debian's chromium")
    process = await asyncio.create_subprocess_exec(
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        f"--user-data-dir={tmp_path}", f"--window-size={width},1000", "--enable-logging=stderr",
        "--virtual-time-budget=20000", "--dump-dom", f"{site.public}/docs",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(BROWSER_SECONDS):
        out, log = await process.communicate()
    page = out.decode()
    for operation in operations().values():
        assert operation["summary"] in page
    said = [line for line in log.decode().splitlines() if ":CONSOLE:" in line]
    assert [line for line in said if FOREIGN_IMAGE not in line] == []


async def test_strangers_may_read_it(site: Site) -> None:
    """The pages cost nothing: neither a partner's budget nor that of strangers."""
    async with httpx2.AsyncClient() as client:
        for _ in range(30):
            assert (await client.get(site.public + "/docs")).status_code == 200
    assert (await site.rows())["weight_charge"] == 0
