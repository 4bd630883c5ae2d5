"""A JSON-RPC client written by others, jsonrpcclient, calls a server: by name, by position, in batches, as notifications."""

import sys

import requests
from jsonrpcclient import Error, Ok, notification, parse, request

URL = sys.argv[1]
LARGEST = 2**64 - 1


def send(body):
    response = requests.post(URL, json=body, timeout=10)
    assert response.status_code in (200, 204), response
    return response


def call(method, params=None):
    return parse(send(request(method, params=params)).json())


def is_reply(answer, expected):
    assert isinstance(answer, Ok), answer
    assert answer.result == expected, answer


def is_error(answer, code, says):
    assert isinstance(answer, Error), answer
    assert answer.code == code and says in answer.message, answer
    assert answer.data["message"] == answer.message, answer


# By name and by position, and nothing lost on the way.
value = 'ü "\u2028" \U0001f980 \\ \0'
is_reply(call("put", {"key": "jsonrpc", "value": value, "version": 0}), {"version": 1, "err": None})
is_reply(call("get", ["jsonrpc"]), {"value": value, "version": 1, "err": None})
is_reply(call("put", ["jsonrpc", "w", LARGEST]), {"version": 1, "err": "Version"})

# Each error has its code.
is_error(call("gte", ["jsonrpc"]), -32601, "did you mean `get`?")
is_error(call("get", {}), -32602, "`key`")
is_error(call("put", ["jsonrpc", "w", -1]), -32602, "`version`")
is_error(call("put", ["jsonrpc", "w", LARGEST + 1]), -32602, "`version`")
refused = call("rsm.submit", {"command": "nonsense"})
is_error(refused, -32602, "this is no command")
assert "invalid" in refused.data["details"][-1]["error"], refused

# A notification is carried out and not answered.
response = send(notification("put", params=["jsonrpc", "w", 1]))
assert (response.status_code, response.content) == (204, b""), response
is_reply(call("get", ["jsonrpc"]), {"value": "w", "version": 2, "err": None})

# The replies of a batch come in any order, and none for what is none.
batch = [request("get", params=["jsonrpc"]), notification("get", params=["jsonrpc"]), request("nothing")]
replies = {reply["id"]: parse(reply) for reply in send(batch).json()}
assert len(replies) == 2, replies
is_reply(replies[batch[0]["id"]], {"value": "w", "version": 2, "err": None})
is_error(replies[batch[2]["id"]], -32601, "nothing")

# The document that says all this.
described = call("rpc.discover").result
assert {"get", "put"} <= {method["name"] for method in described["methods"]}, described
