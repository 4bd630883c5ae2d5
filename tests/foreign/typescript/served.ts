// The TypeScript client that a server shows of itself.

import assert from "node:assert/strict";

import { Client, RpcError, isErrorOf, type GetReply } from "./client.js";

const url = process.argv[2]!;
const client = new Client(url);

/** The error that a call ends with. */
async function failure(call: Promise<unknown>): Promise<RpcError> {
  const error: unknown = await call.then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(error instanceof RpcError, String(error));
  return error;
}

assert.deepEqual(await client.kv.put({ key: "served", value: "ü\u2028🦀", version: 0 }), { version: 1, err: null });
const got: GetReply = await client.kv.get({ key: "served" });
assert.deepEqual(got, { value: "ü\u2028🦀", version: 1, err: null });

// No digit of an integer of 64 bits is lost.
const largest = 2n ** 64n - 1n;
assert.deepEqual(await client.kv.put({ key: "served", value: "", version: largest }), { version: 1, err: "Version" });
const beyond = await failure(client.kv.put({ key: "served", value: "", version: largest + 1n }));
assert.deepEqual([beyond.code, beyond.executed, beyond.status], ["invalid_argument", "no", 400]);
assert.match(beyond.message, /`version`/);

// @ts-expect-error: `key` is missing.
const without = await failure(client.kv.get({}));
assert.match(without.message, /`key`/);

const refused = await failure(client.rsm.submit({ command: "nonsense" }));
assert.ok(isErrorOf("rsm.submit", refused));
assert.ok(typeof refused.error === "object" && "invalid" in refused.error, JSON.stringify(refused.error));

const session = await client.rsm.openSession({});
const status = await client.rsm.status({});
assert.ok(BigInt(session.session) > 0n && status.role === "leader");

const late = await failure(client.kv.get({ key: "served" }, { timeoutMs: 0 }));
assert.equal(late.code, "deadline_exceeded");
const away = await failure(new Client("http://127.0.0.1:9").kv.put({ key: "served", value: "", version: 1 }));
assert.deepEqual([away.code, away.executed], ["unavailable", "unknown"]);
