"""A local server that speaks like four exchanges: the public market data that ccxt asks for.

REST and WebSocket bodies have the shapes of the exchanges' own documentation; prices are set by
the test. `dead` exchanges answer 503 and drop their sockets, `refused` ones only refuse REST,
`deaf` ones have no WebSocket.
"""

import json
from collections import Counter
from typing import Any, Final

from aiohttp import WSMsgType, web

SOURCES: Final = ("kraken", "binance", "coinbase", "okx")
#: What each lists, as the exchanges do: Binance knows no dollar, only Kraken knows Monero.
MARKETS: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "kraken": {
        "BTC/USD": ("62000.1", "62000.2"),
        "ETH/USD": ("3000.01", "3000.02"),
        "USDT/USD": ("0.99990", "0.99995"),
        "XMR/USD": ("150.11", "150.22"),
    },
    "binance": {
        "BTC/USDT": ("62010.00000000", "62010.01000000"),
        "ETH/USDT": ("3000.50000000", "3000.51000000"),
    },
    "coinbase": {
        "BTC/USD": ("62005.55", "62006.66"),
        "ETH/USD": ("3000.1", "3000.2"),
        "USDT/USD": ("0.9999", "1.0000"),
    },
    "okx": {
        "BTC/USDT": ("62008.8", "62008.9"),
        "ETH/USDT": ("3000.31", "3000.32"),
    },
}
SENT_MS: Final = 1_795_000_000_000
SENT_AT: Final = "2026-11-18T11:06:40.123456Z"


class Replay:
    """All four exchanges on one port, told apart by the first part of the path."""

    def __init__(self) -> None:
        self.markets = {name: dict(listed) for name, listed in MARKETS.items()}
        self.dead: set[str] = set()
        self.refused: set[str] = set()
        self.deaf: set[str] = set()
        self.asked: Counter[str] = Counter()  #: "kraken /0/public/Ticker" -> how often
        self.heard: list[Any] = []  #: what was said over WebSockets
        self.base = ""
        self._sockets: dict[web.WebSocketResponse, tuple[str, list[str]]] = {}
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen on a free port."""
        app = web.Application()
        app.router.add_get("/{source:[a-z]+}{path:(/.*)?}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.base = f"http://{host}:{port}"

    async def stop(self) -> None:
        """Close everything."""
        for socket in list(self._sockets):
            await socket.close()
        assert self._runner
        await self._runner.cleanup()

    def urls(self) -> dict[str, str]:
        """Source -> where it is here."""
        return {source: f"{self.base}/{source}" for source in SOURCES}

    async def set(self, source: str, symbol: str, bid: str, ask: str) -> None:
        """A new price, pushed to whoever listens."""
        self.markets[source][symbol] = (bid, ask)
        for socket, (name, symbols) in list(self._sockets.items()):
            if name == source and symbol in symbols:
                await socket.send_str(json.dumps(FRAME[source](symbol, bid, ask)))

    async def kill(self, source: str) -> None:
        """The exchange is down: no REST, no WebSocket."""
        self.dead.add(source)
        for socket, (name, _) in list(self._sockets.items()):
            if name == source:
                await socket.close()

    def listeners(self, source: str) -> int:
        """How many WebSockets are subscribed."""
        return sum(name == source and bool(symbols) for name, symbols in self._sockets.values())

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        source, path = request.match_info["source"], request.match_info["path"].lstrip("/")
        self.asked[f"{source} /{path}"] += 1
        if source in self.dead:
            return web.Response(status=503, text="down")
        if request.headers.get("Upgrade", "").lower() == "websocket":
            if source in self.deaf:
                return web.Response(status=404)
            return await self._listen(source, request)
        if source in self.refused:
            return web.Response(status=503, text="busy")
        body = REST[source](path, request.query, self.markets[source])
        return web.json_response(body) if body is not None else web.Response(status=404)

    async def _listen(self, source: str, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets[socket] = (source, [])
        try:
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    continue
                self.heard.append(json.loads(message.data) if message.data[0] == "{" else None)
                symbols = _subscribed(source, self.heard[-1], self.markets[source])
                self._sockets[socket] = (source, symbols)
                for symbol in symbols:
                    frame = FRAME[source](symbol, *self.markets[source][symbol])
                    await socket.send_str(json.dumps(frame))
        finally:
            del self._sockets[socket]
        return socket


Markets = dict[str, tuple[str, str]]


def _kraken(path: str, query: Any, markets: Markets) -> Any:
    names = {symbol: _kraken_id(symbol) for symbol in markets}
    if path == "0/public/AssetPairs":
        result: dict[str, Any] = {}
        for symbol, name in names.items():
            base, quote = symbol.split("/")
            result[name] = {
                "altname": name, "wsname": symbol, "aclass_base": "currency", "base": base,
                "aclass_quote": "currency", "quote": "Z" + quote, "lot": "unit", "pair_decimals": 5,
                "lot_decimals": 8, "lot_multiplier": 1, "leverage_buy": [], "leverage_sell": [],
                "fees": [[0, 0.4]], "fees_maker": [[0, 0.25]], "ordermin": "0.0001",
                "costmin": "0.5", "tick_size": "0.1", "status": "online",
            }  # fmt: skip
        return {"error": [], "result": result}
    if path == "0/public/Ticker":
        wanted = query["pair"].split(",")
        return {
            "error": [],
            "result": {
                names[symbol]: {
                    "a": [ask, "1", "1.000"], "b": [bid, "2", "2.000"], "c": [bid, "0.01"],
                    "v": ["10.0", "20.0"], "p": [bid, bid], "t": [1, 2], "l": [bid, bid],
                    "h": [ask, ask], "o": bid,
                }
                for symbol, (bid, ask) in markets.items()
                if names[symbol] in wanted
            },
        }  # fmt: skip
    return None


def _kraken_id(symbol: str) -> str:
    return symbol.replace("/", "")


def _binance(path: str, query: Any, markets: Markets) -> Any:
    if path == "api/v3/exchangeInfo":
        return {
            "timezone": "UTC", "serverTime": SENT_MS, "rateLimits": [], "exchangeFilters": [],
            "symbols": [
                {
                    "symbol": symbol.replace("/", ""), "status": "TRADING",
                    "baseAsset": symbol.split("/")[0], "baseAssetPrecision": 8,
                    "quoteAsset": symbol.split("/")[1], "quotePrecision": 8,
                    "orderTypes": ["LIMIT"], "isSpotTradingAllowed": True,
                    "isMarginTradingAllowed": False, "permissions": [], "permissionSets": [["SPOT"]],
                    "filters": [{
                        "filterType": "PRICE_FILTER", "minPrice": "0.01",
                        "maxPrice": "1000000.00", "tickSize": "0.01",
                    }],
                }
                for symbol in markets
            ],
        }  # fmt: skip
    if path == "api/v3/ticker/bookTicker":
        wanted = json.loads(query["symbols"])
        return [
            {"symbol": name, "bidPrice": bid, "bidQty": "1.0", "askPrice": ask, "askQty": "2.0"}
            for symbol, (bid, ask) in markets.items()
            if (name := symbol.replace("/", "")) in wanted
        ]
    return None


def _coinbase(path: str, query: Any, markets: Markets) -> Any:
    products = "api/v3/brokerage/market/products"
    if path == products:
        if query.get("product_type") == "FUTURE":
            return {"products": [], "num_products": 0}
        return {
            "num_products": len(markets),
            "products": [
                {
                    "product_id": symbol.replace("/", "-"), "price": bid, "volume_24h": "10",
                    "base_increment": "0.00000001", "quote_increment": "0.01",
                    "quote_min_size": "1", "quote_max_size": "150000000",
                    "base_min_size": "0.00000001", "base_max_size": "3400",
                    "is_disabled": False, "status": "online", "trading_disabled": False,
                    "product_type": "SPOT", "quote_currency_id": symbol.split("/")[1],
                    "base_currency_id": symbol.split("/")[0], "alias": "", "alias_to": [],
                    "price_increment": "0.01", "mid_market_price": "",
                }
                for symbol, (bid, _) in markets.items()
            ],
        }  # fmt: skip
    name, _, last = path.removeprefix(products + "/").partition("/")
    if last != "ticker" or name.replace("-", "/") not in markets:
        return None
    bid, ask = markets[name.replace("-", "/")]
    trade = {"trade_id": "1", "product_id": name, "price": bid, "size": "0.1", "time": SENT_AT}
    trade |= {"side": "BUY", "bid": "", "ask": ""}
    return {"trades": [trade], "best_bid": bid, "best_ask": ask}


def _okx(path: str, query: Any, markets: Markets) -> Any:
    assert query["instType"] == "SPOT"
    if path == "api/v5/public/instruments":
        listed = [
            {
                "instType": "SPOT", "instId": symbol.replace("/", "-"), "uly": "",
                "baseCcy": symbol.split("/")[0], "quoteCcy": symbol.split("/")[1],
                "settleCcy": "", "ctVal": "", "state": "live", "lotSz": "0.00000001",
                "tickSz": "0.1", "minSz": "0.00001", "lever": "10", "listTime": "1548133413000",
            }
            for symbol in markets
        ]  # fmt: skip
        return {"code": "0", "msg": "", "data": listed}
    if path == "api/v5/market/tickers":
        told = [_okx_ticker(symbol, *sides) for symbol, sides in markets.items()]
        return {"code": "0", "msg": "", "data": told}
    return None


def _okx_ticker(symbol: str, bid: str, ask: str) -> dict[str, str]:
    return {
        "instType": "SPOT", "instId": symbol.replace("/", "-"), "last": bid, "lastSz": "0.1",
        "askPx": ask, "askSz": "1", "bidPx": bid, "bidSz": "2", "open24h": bid, "high24h": ask,
        "low24h": bid, "volCcy24h": "1000", "vol24h": "10", "ts": str(SENT_MS),
        "sodUtc0": bid, "sodUtc8": bid,
    }  # fmt: skip


def _subscribed(source: str, said: Any, markets: Markets) -> list[str]:
    """The markets that a subscription names."""
    words: list[str] = []
    match source, said:
        case "kraken", {"method": "subscribe", "params": {"symbol": names, "channel": "ticker"}}:
            words = names
        case "binance", {"method": "SUBSCRIBE", "params": names}:
            words = [name.removesuffix("@ticker").upper() for name in names]
        case "coinbase", {"type": "subscribe", "product_ids": names, "channel": "ticker_batch"}:
            words = names
        case "okx", {"op": "subscribe", "args": args}:
            words = [each["instId"] for each in args if each["channel"] == "tickers"]
        case _:
            pass
    known = {symbol.replace("/", sep): symbol for symbol in markets for sep in ("/", "-", "")}
    return [known[word] for word in words]


def _kraken_frame(symbol: str, bid: str, ask: str) -> Any:
    return {
        "channel": "ticker", "type": "update",
        "data": [{
            "symbol": symbol, "bid": float(bid), "bid_qty": 0.01, "ask": float(ask),
            "ask_qty": 17.1, "last": float(bid), "volume": 2158.3, "vwap": float(bid),
            "low": float(bid), "high": float(ask), "change": -1.5, "change_pct": -0.1,
        }],
    }  # fmt: skip


def _binance_frame(symbol: str, bid: str, ask: str) -> Any:
    return {
        "e": "24hrTicker", "E": SENT_MS, "s": symbol.replace("/", ""), "p": "-1.0", "P": "-0.1",
        "w": bid, "x": bid, "c": bid, "Q": "0.1", "b": bid, "B": "4.1", "a": ask, "A": "0.1",
        "o": bid, "h": ask, "l": bid, "v": "10.0", "q": "100.0", "O": SENT_MS - 86_400_000,
        "C": SENT_MS, "F": 1, "L": 2, "n": 2,
    }  # fmt: skip


def _coinbase_frame(symbol: str, bid: str, ask: str) -> Any:
    ticker = {
        "type": "ticker", "product_id": symbol.replace("/", "-"), "price": bid,
        "volume_24_h": "10", "low_24_h": bid, "high_24_h": ask, "low_52_w": bid, "high_52_w": ask,
        "price_percent_chg_24_h": "-0.1", "best_bid": bid, "best_bid_quantity": "0.2",
        "best_ask": ask, "best_ask_quantity": "0.3",
    }  # fmt: skip
    return {
        "channel": "ticker_batch", "client_id": "", "timestamp": SENT_AT, "sequence_num": 0,
        "events": [{"type": "update", "tickers": [ticker]}],
    }  # fmt: skip


def _okx_frame(symbol: str, bid: str, ask: str) -> Any:
    told = _okx_ticker(symbol, bid, ask)
    return {"arg": {"channel": "tickers", "instId": told["instId"]}, "data": [told]}


REST: Final = {"kraken": _kraken, "binance": _binance, "coinbase": _coinbase, "okx": _okx}
FRAME: Final = {
    "kraken": _kraken_frame,
    "binance": _binance_frame,
    "coinbase": _coinbase_frame,
    "okx": _okx_frame,
}
