// The TypeScript client of services whose methods are called as members that every object has.

import assert from "node:assert/strict";

import { Client } from "./documents/awkward.js";

const sent: string[] = [];
const client = new Client("http://127.0.0.1:9", {
  fetch: async (url) => {
    sent.push(url.slice(url.lastIndexOf("/") + 1));
    return new Response("null");
  },
});

// Neither the client nor a service is taken for a promise, and both have the members of every object.
for (const object of [client, ...Object.values(client)] as object[]) {
  assert.equal(await object, object);
  assert.equal(String(object), "[object Object]");
  assert.equal(typeof JSON.stringify(object), "string");
  assert.ok(object.hasOwnProperty("toString") === false && object.constructor !== Object);
}
assert.deepEqual(sent, []);

// The methods are there under names of their own.
const words = client.words as unknown as Record<string, (args: object) => Promise<unknown>>;
for (const name of ["then_", "catch_", "toString_", "toJSON_", "constructor_", "transport_", "delete", "new", "await"]) {
  assert.equal(await words[name]!({}), null, name);
}
const expected = ["then", "catch", "to_string", "toJSON", "constructor", "transport", "delete", "new", "await"];
assert.deepEqual(sent, expected.map((name) => `words.${name}`));
