"""Calls a live server with the client that openapi-python-client has made from its OpenAPI document."""

import sys

folder, url = sys.argv[1:]
sys.path.insert(0, folder)

from generated.api.kv import get, put
from generated.client import Client
from generated.models import GetArgs, PutArgs, RpcErrorOfChange

client = Client(base_url=url)


def reply_of(module, body):
    return module.sync(client=client, body=body)


written = reply_of(put, PutArgs(key="generated in python", value="ü🦀", version=0))
assert (written.version, written.err) == (1, None), written
refused = reply_of(put, PutArgs(key="generated in python", value="", version=2**64 - 1))
assert refused.to_dict() == {"version": 1, "err": "Version"}, refused
found = reply_of(get, GetArgs(key="generated in python"))
assert (found.value, found.version, found.err) == ("ü🦀", 1, None), found

wrong = reply_of(put, PutArgs(key="", value="", version=0))
assert isinstance(wrong, RpcErrorOfChange), wrong
assert wrong.code == "invalid_argument" and wrong.details[0].executed == "no", wrong
