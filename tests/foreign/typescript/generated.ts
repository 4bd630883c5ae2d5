// What `openapi-typescript` makes of a server's OpenAPI document, and `openapi-fetch` calls with it.

import assert from "node:assert/strict";

import createClient from "openapi-fetch";

import type { components, paths } from "./openapi.js";

const client = createClient<paths>({ baseUrl: process.argv[2]! });

const put = await client.POST("/put", { body: { key: "generated", value: "ü\u2028🦀", version: 0 } });
assert.deepEqual(put.data, { version: 1, err: null });

const got = await client.POST("/get", { body: { key: "generated" } });
const reply: components["schemas"]["GetReply"] | undefined = got.data;
assert.deepEqual(reply, { value: "ü\u2028🦀", version: 1, err: null });

const absent = await client.POST("/get", { body: { key: "generated, absent" } });
const reason: "NoKey" | "Version" | "Maybe" | null | undefined = absent.data?.err;
assert.equal(reason, "NoKey");

// What the types refuse is what the server refuses.
// @ts-expect-error: `key` is missing.
const without = await client.POST("/get", { body: {} });
assert.equal(without.response.status, 400);
assert.equal(without.error?.code, "invalid_argument");
assert.match(without.error?.message ?? "", /key/);
// @ts-expect-error: a version is a number.
const wrong = await client.POST("/put", { body: { key: "generated", value: "", version: "1" } });
assert.equal(wrong.error?.code, "invalid_argument");
// @ts-expect-error: there is no such method.
const nothing = await client.POST("/nothing", { body: {} });
assert.equal(nothing.response.status, 501);

const status = await client.POST("/rsm.status", { body: {} });
const role: components["schemas"]["NodeRole"] | undefined = status.data?.role;
assert.equal(role, "leader");

const refused = await client.POST("/rsm.submit", { body: { command: { nonsense: true } } });
assert.equal(refused.response.status, 400);
assert.equal(refused.error?.code, "invalid_argument");
