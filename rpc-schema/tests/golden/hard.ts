// The services Hard as TypeScript, for ES2020 or later. Fingerprint e0323d9c509ea75f58c113b25a0ce3a2.
//
// Made by `traitwire schema export`; changes are lost when it is made again.

/** All services of a server, such as `new Client("http://127.0.0.1:7101")`. */
export class Client {
  /** Types that are hard to tell, such as `Vec<u8>`. */
  readonly hard: HardService;

  constructor(baseUrl: string, options: ClientOptions = {}) {
    const transport = new Transport(baseUrl, options);
    this.hard = new HardService(transport);
  }
}

/** Types that are hard to tell, such as `Vec<u8>`. */
export class HardService {
  constructor(private readonly transport: Transport) {}

  /**
   * A recursive type.
   *
   * `hard.tree` on the wire: changes state.
   */
  async tree(args: Tree, options?: CallOptions): Promise<TreeWritten> {
    const facts = { readOnly: false };
    return (await this.transport.call("hard.tree", args, facts, options)) as TreeWritten;
  }

  /**
   * A generic message.
   *
   * `hard.pages` on the wire: changes state.
   */
  async pages(args: Page_of_Tree, options?: CallOptions): Promise<PageOfTreeWritten> {
    const facts = { readOnly: false };
    return (await this.transport.call("hard.pages", args, facts, options)) as PageOfTreeWritten;
  }

  /**
   * Integers beyond 2^53.
   *
   * `hard.wide` on the wire: changes state.
   */
  async wide(args: Wide, options?: CallOptions): Promise<Wide> {
    const facts = { readOnly: false };
    return (await this.transport.call("hard.wide", args, facts, options)) as Wide;
  }

  /**
   * A flattened struct and enum.
   *
   * `hard.flat` on the wire: changes state.
   */
  async flat(args: Flat, options?: CallOptions): Promise<Flat> {
    const facts = { readOnly: false };
    return (await this.transport.call("hard.flat", args, facts, options)) as Flat;
  }

  /**
   * A flattened map.
   *
   * `hard.open` on the wire: changes state.
   */
  async open(args: Open, options?: CallOptions): Promise<Open> {
    const facts = { readOnly: false };
    return (await this.transport.call("hard.open", args, facts, options)) as Open;
  }

  /**
   * An enum.
   *
   * `hard.external` on the wire: changes state.
   */
  async external(args: External, options?: CallOptions): Promise<External> {
    const facts = { readOnly: false };
    return (await this.transport.call("hard.external", args, facts, options)) as External;
  }

  /**
   * An enum.
   *
   * `hard.internal` on the wire: changes state.
   */
  async internal(args: Internal, options?: CallOptions): Promise<Internal> {
    const facts = { readOnly: false };
    return (await this.transport.call("hard.internal", args, facts, options)) as Internal;
  }

  /**
   * An enum.
   *
   * `hard.adjacent` on the wire: changes state.
   */
  async adjacent(args: Adjacent, options?: CallOptions): Promise<Adjacent> {
    const facts = { readOnly: false };
    return (await this.transport.call("hard.adjacent", args, facts, options)) as Adjacent;
  }

  /**
   * An enum.
   *
   * `hard.untagged` on the wire: changes state.
   */
  async untagged(args: Untagged, options?: CallOptions): Promise<Untagged> {
    const facts = { readOnly: false };
    return (await this.transport.call("hard.untagged", args, facts, options)) as Untagged;
  }

  /**
   * A message without a name.
   *
   * `hard.list` on the wire: changes state.
   */
  async list(args: HardListArguments, options?: CallOptions): Promise<HardListReply> {
    const facts = { readOnly: false };
    return (await this.transport.call("hard.list", args, facts, options)) as HardListReply;
  }

  /**
   * Something of everything. </script><script>alert("methods")</script>
   *
   * # Errors
   * See `Error` | *this*.
   *
   * - one
   * - two
   *
   * `hard.assorted_things` on the wire: read only, timeout 2000 ms, hedged after 20 ms, also hard.old_name.
   * @throws {RpcError<Error_>} See `isErrorOf("hard.assorted_things", error)`.
   * @deprecated use <em>another</em>
   */
  async assortedThings(args: Nothing = {}, options?: CallOptions): Promise<Assorted> {
    const facts = { readOnly: true, timeoutMs: 2000 };
    return (await this.transport.call("hard.assorted_things", args, facts, options)) as Assorted;
  }
}

/** The errors of their own that methods answer with, by the methods' names on the wire. */
export interface MethodErrors {
  "hard.assorted_things": Error_;
}

/** Whether `error` is one that `method` answered with as its own: then `error.error` is there. */
export function isErrorOf<M extends keyof MethodErrors>(
  method: M,
  error: unknown,
): error is RpcError<MethodErrors[M]> & { readonly error: MethodErrors[M] } {
  return error instanceof RpcError && error.method === method && error.error !== undefined;
}

/** Tagged beside. */
export type Adjacent =
  | { kind: "At"; value: Point }
  | { kind: "Many"; value: External[] }
  | { kind: "Empty" };

/** What else there is. */
export interface Assorted {
  pair: [number, string | null];
  bytes: [number, number, number];
  many: boolean[];
  maybe_point: Point | null;
  any: unknown;
  object: { [key: string]: unknown };
  letter: string;
  /** @default [] */
  "the-end": ([number, number] | null)[];
  /**
   * Ends a comment: *\/ and a `|` for tables.
   * @default 0
   * @deprecated
   */
  old: number;
  external: External;
  adjacent: Adjacent;
  untagged: Untagged;
}

/** Named as the language's own. */
export type Error_ =
  | "Broken"
  /** It is not there. */
  | { Missing: WideInteger };

/** Tagged from outside. */
export type External =
  | "Plain"
  /** Nothing more. */
  | "Nothing"
  /** A point. */
  | { At: Point }
  | {
    Line: {
      from: Point;
      /** Its end. */
      to: Point;
    };
  }
  | { Pair: [number, string] };

/** Fields of others among its own. */
export type Flat = { id: string; x: number; y: number } & ({ kind: "at" } & Point | { kind: "circle"; radius: number } | { kind: "empty" });

/** Tagged inside. */
export type Internal =
  | { kind: "at" } & Point
  | { kind: "circle"; radius: number }
  | { kind: "empty" };

/** Nothing special about the arguments. */
export type Nothing = Record<string, never>;

/** Its own fields and whatever else there is. */
export interface Open {
  id: string;
  note?: string | null;
  [key: string]: number | string | null | undefined;
}

/** One page of many. */
export interface Page_of_Tree {
  items: Tree[];
  /** Where the next page begins. */
  next?: WideInteger | null;
}

/** One page of many. */
export interface PageOfTreeWritten {
  items: TreeWritten[];
  /** Where the next page begins. */
  next: WideInteger | null;
}

export interface Point {
  x: number;
  y: number;
}

/** A tree that holds itself. </script><script>alert("types")</script> */
export interface Tree {
  /** What stands here, `<b>` or <b>bold</b>. */
  value: WideInteger;
  children: Tree[];
  next?: Tree | null;
}

/** A tree that holds itself. </script><script>alert("types")</script> */
export interface TreeWritten {
  /** What stands here, `<b>` or <b>bold</b>. */
  value: WideInteger;
  children: TreeWritten[];
  next: TreeWritten | null;
}

/** Not tagged. */
export type Untagged =
  | number
  | string
  | Point;

/** Integers that no double holds. */
export interface Wide {
  unsigned: WideInteger;
  signed: WideInteger;
  /** As the key of a map. */
  names: IntegerKeyed<string>;
  balances: IntegerKeyed<WideInteger>;
  small: number;
  percent: number;
}

export type HardListArguments = IntegerKeyed<Point>[];

export type HardListReply = IntegerKeyed<Point>[];

