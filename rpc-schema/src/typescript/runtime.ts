/**
 * An integer of 64 bits or more: a `number` where that is exact, up to 2^53 - 1 either way, and a `bigint` beyond, so
 * that none is ever rounded. `BigInt(value)` makes a `bigint` of either; both are sent as the same digits.
 */
export type WideInteger = number | bigint;

/**
 * A map whose keys are integers. Keys are text in JSON, in decimal, so none is rounded: `map[String(id)]`.
 */
export type IntegerKeyed<V> = { [key: string]: V };

/** What went wrong, for a program. */
export type Code =
  | "canceled"
  | "unknown"
  | "invalid_argument"
  | "deadline_exceeded"
  | "not_found"
  | "already_exists"
  | "permission_denied"
  | "resource_exhausted"
  | "failed_precondition"
  | "aborted"
  | "out_of_range"
  | "unimplemented"
  | "internal"
  | "unavailable"
  | "data_loss"
  | "unauthenticated";

/** Whether a request that failed may have taken effect: `no` is a promise. */
export type Executed = "no" | "unknown";

/** A call that failed. */
export class RpcError<E = unknown> extends Error {
  constructor(
    /** The method that was called, by its name on the wire. */
    readonly method: string,
    /** What went wrong, for a program. */
    readonly code: Code,
    /** What went wrong, for a person. */
    message: string,
    /** Whether the request may have taken effect; one that only reads never does. */
    readonly executed: Executed,
    /** Further values, without the one about execution. */
    readonly details: readonly unknown[] = [],
    /** The HTTP status of the answer; 0 where there was none. */
    readonly status: number = 0,
  ) {
    super(message);
    this.name = "RpcError";
  }

  /** The error of the method's own, where it answered with one. `isErrorOf` knows its type. */
  get error(): E | undefined {
    return this.details.filter(isObject).find((detail) => "error" in detail)?.["error"] as E | undefined;
  }
}

/** How calls are made. */
export interface ClientOptions {
  /** Headers of every call. */
  headers?: Record<string, string>;
  /** What makes the requests, in place of the global `fetch`. */
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

/** How one call is made. */
export interface CallOptions {
  /** How long to wait, in milliseconds; without it, as long as the method says. The server is told. */
  timeoutMs?: number;
  /** Ends the wait. A call that has begun may still take effect. */
  signal?: AbortSignal;
  /** Headers of this call. */
  headers?: Record<string, string>;
}

/** Calls methods by their names on the wire. Nothing is repeated: a call is one request. */
export class Transport {
  constructor(
    private readonly baseUrl: string,
    private readonly options: ClientOptions = {},
  ) {}

  /** Calls `method`; `readOnly` and `timeoutMs` are what its description says. */
  async call(
    method: string,
    args: unknown,
    facts: { readOnly: boolean; timeoutMs?: number },
    options: CallOptions = {},
  ): Promise<unknown> {
    const timeoutMs = options.timeoutMs ?? facts.timeoutMs;
    const controller = new AbortController();
    const abort = () => controller.abort();
    let timedOut = false;
    const expire = () => {
      timedOut = true;
      abort();
    };
    const timer = timeoutMs === undefined ? undefined : setTimeout(expire, Math.min(timeoutMs, 2 ** 31 - 1));
    options.signal?.addEventListener("abort", abort);
    if (options.signal?.aborted) abort();
    const nothing: Executed = facts.readOnly ? "no" : "unknown";
    try {
      const headers: Record<string, string> = {
        ...this.options.headers,
        ...options.headers,
        "Content-Type": "application/json",
      };
      if (timeoutMs !== undefined) {
        headers["Connect-Timeout-Ms"] = String(Math.min(Math.max(Math.ceil(timeoutMs), 0), 9_999_999_999));
      }
      const send = this.options.fetch ?? ((url, init) => fetch(url, init));
      const response = await send(`${this.baseUrl.replace(/\/+$/, "")}/${method}`, {
        method: "POST",
        headers,
        body: stringify(args),
        signal: controller.signal,
      });
      const text = await response.text();
      if (response.ok) return parse(text);
      throw errorOf(method, response.status, text, nothing);
    } catch (error) {
      if (error instanceof RpcError) throw error;
      if (timedOut) {
        throw new RpcError(method, "deadline_exceeded", `no answer within ${timeoutMs} ms`, nothing);
      }
      if (options.signal?.aborted) throw new RpcError(method, "canceled", "the caller gave up", nothing);
      const cause = error instanceof Error ? error.message : String(error);
      throw new RpcError(method, "unavailable", cause, nothing);
    } finally {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", abort);
    }
  }
}

/** The error that an answer carries, or what its status says where it carries none. */
function errorOf(method: string, status: number, text: string, nothing: Executed): RpcError {
  let body: unknown;
  try {
    body = parse(text);
  } catch {
    body = undefined;
  }
  if (!isObject(body) || typeof body["code"] !== "string") {
    const codes: Record<number, Code> = {
      400: "internal",
      401: "unauthenticated",
      403: "permission_denied",
      404: "unimplemented",
      429: "unavailable",
      502: "unavailable",
      503: "unavailable",
      504: "unavailable",
    };
    return new RpcError(method, codes[status] ?? "unknown", `HTTP ${status}`, nothing, [], status);
  }
  const message = typeof body["message"] === "string" ? body["message"] : "";
  const details: unknown[] = Array.isArray(body["details"]) ? body["details"] : [];
  const first = details[0];
  const says = isObject(first) && (first["executed"] === "no" || first["executed"] === "unknown");
  const executed = says ? (first["executed"] as Executed) : nothing;
  const rest = says ? details.slice(1) : details;
  return new RpcError(method, body["code"] as Code, message, executed, rest, status);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `value` as JSON; a `bigint` as its digits. */
export function stringify(value: unknown): string {
  return write(value) ?? "null";
}

function write(value: unknown): string | undefined {
  if (typeof value === "bigint") return value.toString();
  if (Array.isArray(value)) return `[${value.map((item) => write(item) ?? "null").join(",")}]`;
  if (!isObject(value) || typeof value["toJSON"] === "function") return JSON.stringify(value);
  const fields: string[] = [];
  for (const [key, item] of Object.entries(value)) {
    const text = write(item);
    if (text !== undefined) fields.push(`${JSON.stringify(key)}:${text}`);
  }
  return `{${fields.join(",")}}`;
}

/** The value of a JSON text; an integer that no `number` holds exactly becomes a `bigint`. */
export function parse(text: string): unknown {
  // A number that is not exact has at least 16 digits.
  return /\d{16}/.test(text) ? new Reader(text).whole() : JSON.parse(text);
}

/** Reads JSON that may hold wide integers. What is no JSON is left to `JSON.parse`, which says what is wrong. */
class Reader {
  private at = 0;

  constructor(private readonly text: string) {}

  whole(): unknown {
    const value = this.value();
    this.space();
    if (this.at < this.text.length) this.fail();
    return value;
  }

  private value(): unknown {
    this.space();
    const first = this.text[this.at];
    if (first === "{") return this.object();
    if (first === "[") return this.array();
    if (first === '"') return this.string();
    const word = this.token(/true|false|null|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y);
    const value: unknown = JSON.parse(word);
    const isRounded = /^-?\d+$/.test(word) && !Number.isSafeInteger(value);
    return isRounded ? BigInt(word) : value;
  }

  private object(): unknown {
    const object: Record<string, unknown> = {};
    this.at += 1;
    this.space();
    if (this.take("}")) return object;
    do {
      this.space();
      const key = this.string();
      this.space();
      if (!this.take(":")) this.fail();
      const value = this.value();
      // An assignment would not make a field of `__proto__`.
      Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
      this.space();
    } while (this.take(","));
    if (!this.take("}")) this.fail();
    return object;
  }

  private array(): unknown {
    const array: unknown[] = [];
    this.at += 1;
    this.space();
    if (this.take("]")) return array;
    do {
      array.push(this.value());
      this.space();
    } while (this.take(","));
    if (!this.take("]")) this.fail();
    return array;
  }

  private string(): string {
    return JSON.parse(this.token(/"(?:[^"\\]|\\.)*"/y)) as string;
  }

  private space(): void {
    while (" \t\n\r".includes(this.text[this.at] ?? "end")) this.at += 1;
  }

  private take(letter: string): boolean {
    const found = this.text[this.at] === letter;
    if (found) this.at += 1;
    return found;
  }

  private token(pattern: RegExp): string {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0] ?? this.fail();
    this.at += found.length;
    return found;
  }

  private fail(): never {
    JSON.parse(this.text);
    throw new SyntaxError(`no JSON at position ${this.at}`);
  }
}
