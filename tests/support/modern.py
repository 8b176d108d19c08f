"""Plain requests of the modern era: what a client is compared with."""

import json
import urllib.request

MODERN = "2026-07-28"


def modern_request(method, params):
    meta = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}


def modern_headers(method, params):
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": method,
    }
    return headers | ({"Mcp-Name": params["name"]} if "name" in params else {})


def post(url, method, params):
    body = json.dumps(modern_request(method, params)).encode()
    request = urllib.request.Request(url, body, modern_headers(method, params))
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["result"]


def listed(url, method, key):
    """A whole list, page by page."""
    items, params = [], {}
    while True:
        page = post(url, method, params)
        items += page[key]
        if "nextCursor" not in page:
            return items
        params = {"cursor": page["nextCursor"]}
