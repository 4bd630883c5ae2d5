// The services Backup, Kv, Members, Raft, Rsm as TypeScript, for ES2020 or later. Fingerprint f5d7eee26d1878826549d9f339db5bba.
//
// Made by `traitwire schema export`; changes are lost when it is made again.

/** All services of a server, such as `new Client("http://127.0.0.1:7101")`. */
export class Client {
  /**
   * Backups of a running cluster. Any node that follows the leader takes these calls, and reads a backup from its own state.
   *
   * A backup is one consistent state, which has everything that was acknowledged before the call of `backup.begin`. Commands go on
   * while it is read. A backup belongs to the node that has begun it and ends with that node, when its last piece was
   * read and nobody asks for it again, or when no piece is read for half a minute.
   */
  readonly backup: BackupService;
  /** A versioned key-value store: a put names the version it expects, so that nothing is overwritten unseen. */
  readonly kv: KvService;
  /**
   * The members of a cluster. Any node takes these calls and passes them on to the leader.
   *
   * One change is made at a time. A new node gets the log as a learner, and votes once it has caught up. A change of the voters
   * takes effect in two steps, between which both the old and the new voters decide (Raft, 6); the leader makes the second one
   * by itself.
   */
  readonly members: MembersService;
  /** The consensus protocol of the nodes (Raft), not meant for clients. */
  readonly raft: RaftService;
  /** A state machine that a cluster of nodes runs in step: what its leader takes, all of them do. */
  readonly rsm: RsmService;

  constructor(baseUrl: string, options: ClientOptions = {}) {
    const transport = new Transport(baseUrl, options);
    this.backup = new BackupService(transport);
    this.kv = new KvService(transport);
    this.members = new MembersService(transport);
    this.raft = new RaftService(transport);
    this.rsm = new RsmService(transport);
  }
}

/**
 * Backups of a running cluster. Any node that follows the leader takes these calls, and reads a backup from its own state.
 *
 * A backup is one consistent state, which has everything that was acknowledged before the call of `backup.begin`. Commands go on
 * while it is read. A backup belongs to the node that has begun it and ends with that node, when its last piece was
 * read and nobody asks for it again, or when no piece is read for half a minute.
 */
export class BackupService {
  constructor(private readonly transport: Transport) {}

  /**
   * Begins a backup. A node that has too many of them under way refuses.
   *
   * `backup.begin` on the wire: changes state, timeout 10000 ms.
   */
  async begin(args: BackupBeginArgs = {}, options?: CallOptions): Promise<BackupReply> {
    const facts = { readOnly: false, timeoutMs: 10000 };
    return (await this.transport.call("backup.begin", args, facts, options)) as BackupReply;
  }

  /**
   * Reads the next piece of a backup, or the one that was read last once more.
   *
   * `backup.read` on the wire: idempotent, timeout 30000 ms.
   */
  async read(args: ReadBackupArgs, options?: CallOptions): Promise<BackupPiece> {
    const facts = { readOnly: false, timeoutMs: 30000 };
    return (await this.transport.call("backup.read", args, facts, options)) as BackupPiece;
  }

  /**
   * Ends a backup, read or not, so that its node keeps it no longer. Ending a backup that has ended succeeds.
   *
   * `backup.end` on the wire: idempotent, timeout 2000 ms.
   */
  async end(args: EndBackupArgs, options?: CallOptions): Promise<BackupEndReply> {
    const facts = { readOnly: false, timeoutMs: 2000 };
    return (await this.transport.call("backup.end", args, facts, options)) as BackupEndReply;
  }
}

/** A versioned key-value store: a put names the version it expects, so that nothing is overwritten unseen. */
export class KvService {
  constructor(private readonly transport: Transport) {}

  /**
   * Reads a key.
   *
   * `get` on the wire: read only, timeout 2000 ms.
   */
  async get(args: GetArgs, options?: CallOptions): Promise<GetReply> {
    const facts = { readOnly: true, timeoutMs: 2000 };
    return (await this.transport.call("get", args, facts, options)) as GetReply;
  }

  /**
   * Writes a key if its version is the one given; 0 creates a key that does not exist.
   *
   * `put` on the wire: changes state, timeout 2000 ms.
   */
  async put(args: PutArgs, options?: CallOptions): Promise<PutReply> {
    const facts = { readOnly: false, timeoutMs: 2000 };
    return (await this.transport.call("put", args, facts, options)) as PutReply;
  }
}

/**
 * The members of a cluster. Any node takes these calls and passes them on to the leader.
 *
 * One change is made at a time. A new node gets the log as a learner, and votes once it has caught up. A change of the voters
 * takes effect in two steps, between which both the old and the new voters decide (Raft, 6); the leader makes the second one
 * by itself.
 */
export class MembersService {
  constructor(private readonly transport: Transport) {}

  /**
   * Lists the members, as the leader sees them. Where no leader is known, the node answers what it knows itself.
   *
   * `member.list` on the wire: read only, timeout 2000 ms.
   * @throws {RpcError<MemberErr>} See `isErrorOf("member.list", error)`.
   */
  async list(args: MembersListArgs = {}, options?: CallOptions): Promise<MemberList> {
    const facts = { readOnly: true, timeoutMs: 2000 };
    return (await this.transport.call("member.list", args, facts, options)) as MemberList;
  }

  /**
   * Adds the node at a URL, which must be empty.
   *
   * Returns once it is a learner; `member.list` shows when it has become a voter. Adding the same node again succeeds.
   *
   * `member.add` on the wire: idempotent, timeout 30000 ms.
   * @throws {RpcError<MemberErr>} See `isErrorOf("member.add", error)`.
   */
  async add(args: AddMemberArgs, options?: CallOptions): Promise<MemberReply> {
    const facts = { readOnly: false, timeoutMs: 30000 };
    return (await this.transport.call("member.add", args, facts, options)) as MemberReply;
  }

  /**
   * Makes a learner a voter as soon as it has caught up.
   *
   * Returns before that; `member.list` shows when it has become one. Promoting a voter succeeds.
   *
   * `member.promote` on the wire: idempotent, timeout 30000 ms.
   * @throws {RpcError<MemberErr>} See `isErrorOf("member.promote", error)`.
   */
  async promote(args: MemberIdArgs, options?: CallOptions): Promise<MemberReply> {
    const facts = { readOnly: false, timeoutMs: 30000 };
    return (await this.transport.call("member.promote", args, facts, options)) as MemberReply;
  }

  /**
   * Removes a member, and returns once it has left.
   *
   * `member.remove` on the wire: changes state, timeout 30000 ms.
   * @throws {RpcError<MemberErr>} See `isErrorOf("member.remove", error)`.
   */
  async remove(args: MemberIdArgs, options?: CallOptions): Promise<MemberReply> {
    const facts = { readOnly: false, timeoutMs: 30000 };
    return (await this.transport.call("member.remove", args, facts, options)) as MemberReply;
  }

  /**
   * Adds the node at a URL, which must be empty, and lets it take the place of a voter as soon as it has caught up.
   *
   * Returns once it is a learner; `member.list` shows when the other one has left. Replacing by the same node again succeeds.
   *
   * `member.replace` on the wire: idempotent, timeout 30000 ms.
   * @throws {RpcError<MemberErr>} See `isErrorOf("member.replace", error)`.
   */
  async replace(args: ReplaceMemberArgs, options?: CallOptions): Promise<MemberReply> {
    const facts = { readOnly: false, timeoutMs: 30000 };
    return (await this.transport.call("member.replace", args, facts, options)) as MemberReply;
  }

  /**
   * Takes a member back that has lost its data, or that has moved to another URL.
   *
   * A node calls this about itself. A node without data does not vote until it has caught up.
   *
   * `member.rejoin` on the wire: idempotent, timeout 30000 ms.
   * @throws {RpcError<MemberErr>} See `isErrorOf("member.rejoin", error)`.
   */
  async rejoin(args: Member, options?: CallOptions): Promise<MemberReply> {
    const facts = { readOnly: false, timeoutMs: 30000 };
    return (await this.transport.call("member.rejoin", args, facts, options)) as MemberReply;
  }
}

/**
 * The consensus protocol of the nodes (Raft), not meant for clients.
 * Internal: other parts of the same system call this service, its users do not.
 */
export class RaftService {
  constructor(private readonly transport: Transport) {}

  /**
   * Asks whether an election would be won, and changes nothing (Raft dissertation, 9.6).
   *
   * `raft.pre_vote` on the wire: internal, idempotent.
   */
  async preVote(args: RaftPreVoteArgs, options?: CallOptions): Promise<VoteReply> {
    const facts = { readOnly: false };
    return (await this.transport.call("raft.pre_vote", args, facts, options)) as VoteReply;
  }

  /**
   * Asks for a vote (Raft, 5.2).
   *
   * `raft.request_vote` on the wire: internal, idempotent.
   */
  async requestVote(args: RaftRequestVoteArgs, options?: CallOptions): Promise<VoteReply> {
    const facts = { readOnly: false };
    return (await this.transport.call("raft.request_vote", args, facts, options)) as VoteReply;
  }

  /**
   * Brings entries of the log, or none as a sign of life (Raft, 5.3).
   *
   * `raft.append_entries` on the wire: internal, idempotent.
   */
  async appendEntries(args: RaftAppendEntriesArgs, options?: CallOptions): Promise<AppendEntriesReply> {
    const facts = { readOnly: false };
    return (await this.transport.call("raft.append_entries", args, facts, options)) as AppendEntriesReply;
  }

  /**
   * Brings a piece of a snapshot to a node that needs entries which the leader no longer has (Raft, 7).
   *
   * `raft.install_snapshot` on the wire: internal, idempotent.
   */
  async installSnapshot(args: RaftInstallSnapshotArgs, options?: CallOptions): Promise<InstallSnapshotReply> {
    const facts = { readOnly: false };
    return (await this.transport.call("raft.install_snapshot", args, facts, options)) as InstallSnapshotReply;
  }

  /**
   * Tells a node to campaign at once, so that it takes over the leadership (Raft dissertation, 3.10).
   *
   * `raft.timeout_now` on the wire: internal, idempotent.
   */
  async timeoutNow(args: RaftTimeoutNowArgs, options?: CallOptions): Promise<TimeoutNowReply> {
    const facts = { readOnly: false };
    return (await this.transport.call("raft.timeout_now", args, facts, options)) as TimeoutNowReply;
  }

  /**
   * Asks a node which one it is, and changes nothing. A node that is new asks its peers before it founds a cluster.
   *
   * `raft.identify` on the wire: internal, read only, timeout 1000 ms.
   */
  async identify(args: RaftIdentifyArgs = {}, options?: CallOptions): Promise<IdentifyReply> {
    const facts = { readOnly: true, timeoutMs: 1000 };
    return (await this.transport.call("raft.identify", args, facts, options)) as IdentifyReply;
  }
}

/**
 * A state machine that a cluster of nodes runs in step: what its leader takes, all of them do.
 * Internal: other parts of the same system call this service, its users do not.
 */
export class RsmService {
  constructor(private readonly transport: Transport) {}

  /**
   * Begins a session: within it a command takes effect once, however often it is sent.
   *
   * `rsm.open_session` on the wire: internal, changes state, timeout 2000 ms.
   * @throws {RpcError<ReplyErr>} See `isErrorOf("rsm.open_session", error)`.
   */
  async openSession(args: RsmOpenSessionArgs = {}, options?: CallOptions): Promise<SessionReply> {
    const facts = { readOnly: false, timeoutMs: 2000 };
    return (await this.transport.call("rsm.open_session", args, facts, options)) as SessionReply;
  }

  /**
   * Runs a command on the state of all nodes.
   *
   * `rsm.submit` on the wire: internal, changes state, timeout 30000 ms.
   * @throws {RpcError<ReplyErr>} See `isErrorOf("rsm.submit", error)`.
   */
  async submit(args: SubmitArgs, options?: CallOptions): Promise<SubmitReply> {
    const facts = { readOnly: false, timeoutMs: 30000 };
    return (await this.transport.call("rsm.submit", args, facts, options)) as SubmitReply;
  }

  /**
   * Asks about the state: the answer knows all that was done before the question.
   *
   * `rsm.query` on the wire: internal, read only, timeout 2000 ms.
   * @throws {RpcError<ReplyErr>} See `isErrorOf("rsm.query", error)`.
   */
  async query(args: QueryArgs, options?: CallOptions): Promise<QueryReply> {
    const facts = { readOnly: true, timeoutMs: 2000 };
    return (await this.transport.call("rsm.query", args, facts, options)) as QueryReply;
  }

  /**
   * Up to which index a node must have applied the log to know all that was done before the question.
   *
   * `rsm.read_index` on the wire: internal, read only, timeout 2000 ms.
   * @throws {RpcError<ReplyErr>} See `isErrorOf("rsm.read_index", error)`.
   */
  async readIndex(args: RsmReadIndexArgs = {}, options?: CallOptions): Promise<ReadIndexReply> {
    const facts = { readOnly: true, timeoutMs: 2000 };
    return (await this.transport.call("rsm.read_index", args, facts, options)) as ReadIndexReply;
  }

  /**
   * What this node is and how far it has come.
   *
   * `rsm.status` on the wire: internal, read only, timeout 2000 ms.
   */
  async status(args: RsmStatusArgs = {}, options?: CallOptions): Promise<StatusReply> {
    const facts = { readOnly: true, timeoutMs: 2000 };
    return (await this.transport.call("rsm.status", args, facts, options)) as StatusReply;
  }
}

/** The errors of their own that methods answer with, by the methods' names on the wire. */
export interface MethodErrors {
  "member.list": MemberErr;
  "member.add": MemberErr;
  "member.promote": MemberErr;
  "member.remove": MemberErr;
  "member.replace": MemberErr;
  "member.rejoin": MemberErr;
  "rsm.open_session": ReplyErr;
  "rsm.submit": ReplyErr;
  "rsm.query": ReplyErr;
  "rsm.read_index": ReplyErr;
}

/** Whether `error` is one that `method` answered with as its own: then `error.error` is there. */
export function isErrorOf<M extends keyof MethodErrors>(
  method: M,
  error: unknown,
): error is RpcError<MethodErrors[M]> & { readonly error: MethodErrors[M] } {
  return error instanceof RpcError && error.method === method && error.error !== undefined;
}

/** Which node to add. */
export interface AddMemberArgs {
  /** The URL at which the other nodes reach it. It must be running, with `serve --join`. */
  url: string;
  /**
   * Whether it stays a learner: it gets the log and does not vote.
   * @default false
   */
  learner?: boolean;
}

/** What came of comparing the states of the nodes. */
export type Agreement =
  /** This node's state is that of a majority. */
  | "agreed"
  /** No majority has the same state, so nobody knows which one is right. */
  | "disputed"
  /** This node's state is not that of a majority. The node ends. */
  | "differs";

/** Entries of a leader's log. */
export interface AppendEntriesArgs {
  /** The leader's term. */
  term: WideInteger;
  /** Numbers this message; the reply repeats it. */
  round: WideInteger;
  /** The index of the entry before the first of `entries`. */
  prev_index: WideInteger;
  /** The term of that entry. */
  prev_term: WideInteger;
  /** The entries after `prev_index`, in order. */
  entries: Entry[];
  /** Up to which index entries are committed. */
  commit: WideInteger;
  /** How slow the leader's links are, where they are so slow that elections must wait longer. */
  delay?: LinkDelay | null;
}

/** What became of entries that were sent. */
export interface AppendEntriesReply {
  /** The term that the follower is in. */
  term: WideInteger;
  /** The round of the message that is answered. */
  round: WideInteger;
  /** Whether the follower's log contained the entry before the sent ones. */
  outcome: AppendOutcome;
  /** What the follower's state has come to, once it was asked for or is due. It has nothing to do with the message. */
  digest?: StateDigest | null;
}

/** Whether the follower's log contained the entry before the sent ones. */
export type AppendOutcome =
  /** It did: up to this index its log is the leader's, and safe on its disk. */
  | { matched: WideInteger }
  /** It did not. */
  | { conflict: Conflict }
  /** The message was of an old term; nothing was looked at. */
  | "old_term";

/** The arguments of `backup.begin`. */
export type BackupBeginArgs = Record<string, never>;

/** What a backup is a backup of. */
export interface BackupHeader {
  /** The name of the cluster. */
  cluster: string;
  /** The index of the last entry of the log that the state contains. */
  revision: WideInteger;
  /** The term of that entry. */
  term: WideInteger;
  /** Who belongs to the cluster after that entry, with the cluster's id. */
  membership: MembershipWritten;
  /** The node whose state it is. */
  node: WideInteger;
  /** When the backup began, by the node's clock, in milliseconds since 1970-01-01 00:00 UTC. */
  time_ms: WideInteger;
}

/** A piece of a backup. */
export interface BackupPiece {
  /** The bytes of this piece. */
  data: SnapshotBytes;
  /** The CRC-32 of all bytes of the state up to the end of this piece. */
  crc: number;
  /** Whether this is the last piece. */
  last: boolean;
}

/** A backup that has begun. */
export interface BackupReply {
  /** Names the backup in later calls. */
  backup: WideInteger;
  /** What it is a backup of. */
  header: BackupHeader;
  /** About how many bytes the state has; null if the node cannot tell without reading it. */
  state_bytes_estimate: WideInteger | null;
  /** How the state of the node compares with those of the others; absent until they are compared. */
  state_check?: StateCheck | null;
}

/** How far a change of the members has come. */
export type ChangeStep =
  /** Its entry is not committed yet. */
  | "committing"
  /** A learner catches up, and becomes a voter then. */
  | "catching_up"
  /** The voters change: both the old and the new ones decide. */
  | "joint";

/** 128 random bits, as 32 hexadecimal digits. */
export type ClusterId = string;

/** A command to the state machine: any JSON value, passed on as it is. */
export type Command = unknown;

/** Where a follower's log leaves the leader's. */
export interface Conflict {
  /** The `prev_index` that did not fit. */
  prev_index: WideInteger;
  /** The term of the follower's entry there; 0 when its log is shorter. */
  term: WideInteger;
  /** The first index at which the follower has an entry of that term; one after its last entry when its log is shorter. */
  first_index: WideInteger;
}

/** Which backup to end. */
export interface EndBackupArgs {
  /** Which backup. */
  backup: WideInteger;
}

/** An entry of the log. */
export interface Entry {
  /** The term of the leader that made it. */
  term: WideInteger;
  /** What it says. */
  payload: Payload;
}

/** What to read. */
export interface GetArgs {
  /** The key, of 1 to 65,536 bytes. */
  key: string;
}

/** What was read. */
export interface GetReply {
  /** The value; empty when the key does not exist. */
  value: string;
  /** How often the key has been put; 0 when it does not exist. */
  version: WideInteger;
  /** `NoKey` when the key does not exist, otherwise null. */
  err: KVError | null;
}

/** What happens to a learner that has caught up with the leader. */
export type Goal =
  /** It stays a learner. */
  | "learn"
  /** It becomes a voter. */
  | "vote"
  /** It becomes a voter in the place of this one, which leaves the cluster. */
  | { replace: WideInteger };

/** What a node is, as its folder and its command line say. */
export interface IdentifyReply {
  /** The name of its cluster. */
  cluster: string;
  /** The version of the protocol that it speaks. */
  protocol: number;
  /** Its id. */
  id: WideInteger;
  /** Its incarnation; null for a node without a data folder. */
  incarnation: Incarnation | null;
  /** The id of the cluster that it belongs to, once it knows it. */
  cluster_id: ClusterId | null;
  /** Whether it has a log, a term or a membership. */
  has_data: boolean;
  /** The nodes of the cluster that it was started with, in order; empty if it was started without a list. */
  peers: WideInteger[];
  /** The URL at which the other nodes reach it, if it was started with one. */
  url: string | null;
  /** Whether it may found a cluster although some nodes cannot be reached. */
  bootstrap: boolean;
  /** Whether it was started to join a cluster that exists, and waits to be added. */
  joins: boolean;
  /**
   * Names this run of the node; absent from a node of an earlier version. Two runs with the same incarnation use copies of one data
   * folder.
   */
  run?: RunId | null;
}

/** 128 random bits, as 32 hexadecimal digits. */
export type Incarnation = string;

/** A piece of a snapshot. */
export interface InstallSnapshotArgs {
  /** The leader's term. */
  term: WideInteger;
  /** Numbers this message; the reply repeats it. */
  round: WideInteger;
  /** Which snapshot. */
  snapshot: SnapshotMeta;
  /** How many bytes come before this piece. */
  offset: WideInteger;
  /** The bytes of this piece. */
  data: SnapshotBytes;
  /** Whether this is the last piece. */
  last: boolean;
}

/** How far a snapshot has come. */
export interface InstallSnapshotReply {
  /** The term that the follower is in. */
  term: WideInteger;
  /** The round of the message that is answered. */
  round: WideInteger;
  /** The last index of the snapshot that is answered. */
  last_index: WideInteger;
  /** Which piece is wanted next. */
  progress: SnapshotProgress;
}

/** Why a get or a put had no effect, or may have had one. */
export type KVError =
  /** The key does not exist, and the version given was not 0. */
  | "NoKey"
  /** The key has another version than the one given; nothing was changed. */
  | "Version"
  /** The put was applied at most once, at some time after the call began, or never. */
  | "Maybe";

/** What a leader has measured of its links. */
export interface LinkDelay {
  /** How many milliseconds it takes to reach a majority and to have its answers; 0 where that is not long. */
  round_trip_ms: WideInteger;
  /** For how many milliseconds more than usual the leader may be silent, since much is on the way to the receiver. */
  busy_ms: WideInteger;
}

/** One node of a cluster. */
export interface Member {
  /** The node. */
  id: WideInteger;
  /**
   * Which data folder the node has. Absent until the node has been reached for the first time; until then it counts towards no
   * majority.
   */
  incarnation?: Incarnation | null;
  /** The URL at which the other nodes reach it. */
  url: string;
  /**
   * For a learner: what happens once it has caught up.
   * @default "vote"
   */
  goal?: Goal;
}

/** One node of a cluster. */
export interface MemberWritten {
  /** The node. */
  id: WideInteger;
  /**
   * Which data folder the node has. Absent until the node has been reached for the first time; until then it counts towards no
   * majority.
   */
  incarnation?: Incarnation | null;
  /** The URL at which the other nodes reach it. */
  url: string;
  /**
   * For a learner: what happens once it has caught up.
   * @default "vote"
   */
  goal: Goal;
}

/** A member and its URL, for messages. */
export interface MemberAddress {
  /** The node. */
  id: WideInteger;
  /** Its URL; null if it is not known. */
  url: string | null;
}

/** A change of the members that is in progress. */
export interface MemberChange {
  /** The member that it is about, if it is about one. */
  id: WideInteger | null;
  /** How far it has come. */
  step: ChangeStep;
}

/** Why members were not changed or listed. */
export type MemberErr =
  /** The node does not lead. Nothing has changed. */
  | {
    not_leader: {
      /** The node that does, if it is known. */
      leader: MemberAddress | null;
    };
  }
  /** The leader is new, or about to hand over. Nothing has changed; the same call soon succeeds. */
  | "not_ready"
  /** Another change is in progress. Nothing has changed. */
  | { in_progress: MemberChange }
  /** There is no such member. Nothing has changed. */
  | {
    no_member: {
      /** The node. */
      id: WideInteger;
      /** The members. */
      members: WideInteger[];
    };
  }
  /** A member has this id, this data folder or this URL. Nothing has changed. */
  | {
    exists: {
      /** The member. */
      id: WideInteger;
      /** What the member and the new node have in common. */
      reason: string;
    };
  }
  /** The cluster would have no voters. Nothing has changed. */
  | {
    last_voter: {
      /** The node. */
      id: WideInteger;
    };
  }
  /** Too few of the voters that would remain have answered lately. Nothing has changed. */
  | {
    no_majority: {
      /** Those that have not. */
      missing: MemberAddress[];
    };
  }
  /** The leader's disk is full. Nothing has changed. */
  | "disk_full"
  /** The text is not a URL that nodes can reach. Nothing has changed. */
  | { invalid_url: string }
  /** The new node does not answer. Nothing has changed. */
  | {
    unreachable: {
      /** Its URL. */
      url: string;
      /** Why it cannot be reached. */
      reason: string;
    };
  }
  /** The new node cannot become a member. Nothing has changed. */
  | {
    unsuitable: {
      /** Its URL. */
      url: string;
      /** Why, and what to do. */
      reason: string;
    };
  }
  /** There was no answer in time, or the leader has changed. */
  | {
    no_answer: {
      /** What happened. */
      message: string;
      /** Whether the change may take effect. */
      submitted: boolean;
    };
  };

/** Which member. */
export interface MemberIdArgs {
  /** Its id. */
  id: WideInteger;
}

/** One member of a cluster. */
export interface MemberInfo {
  /** The node. */
  id: WideInteger;
  /** Which data folder the node has; null until it has been reached for the first time. */
  incarnation: Incarnation | null;
  /** The URL at which the other nodes reach it; null if it is not known. */
  url: string | null;
  /** What it is. */
  role: MemberRole;
  /** For a learner: what happens once it has caught up. */
  goal: Goal | null;
  /** How many entries it lacks of what the leader has; null where the leader does not know. */
  behind: WideInteger | null;
  /** Whether it has answered the leader lately; null where that is not known. */
  reachable: boolean | null;
}

/** Who belongs to a cluster. */
export interface MemberList {
  /** The name of the cluster. */
  cluster: string;
  /** The id of the cluster; null until one has been chosen. */
  cluster_id: ClusterId | null;
  /** The node that answers: the leader, if it is known. */
  node: WideInteger;
  /** The leader; null when it is not known. */
  leader: WideInteger | null;
  /**
   * The index of the entry from which the members come; 0 where they have not changed since the cluster was founded by an
   * earlier version.
   */
  index: WideInteger;
  /** Whether the voters are changing, so that both the old and the new ones decide. */
  joint: boolean;
  /** The change that is in progress. */
  in_progress: MemberChange | null;
  /** The members, in the order of their ids. */
  members: MemberInfo[];
}

/** A change that is committed. */
export interface MemberReply {
  /** The member that was changed. */
  id: WideInteger;
  /** The index of the entry with the change; 0 if there was nothing to change. */
  index: WideInteger;
}

/** What a member is. */
export type MemberRole =
  /** It votes and leads. */
  | "leader"
  /** It votes. */
  | "voter"
  /** It gets the log and does not vote. */
  | "learner"
  /** It votes until the voters have changed, and then it does no more. */
  | "outgoing";

/** The arguments of `member.list`. */
export type MembersListArgs = Record<string, never>;

/** Who belongs to a cluster. */
export interface Membership {
  /** The nodes that vote. */
  voters: WideInteger[];
  /**
   * While the voters change: those of before, whose majority is needed too (Raft, 6). Otherwise empty.
   * @default []
   */
  outgoing?: WideInteger[];
  /**
   * The nodes that get the log and do not vote.
   * @default []
   */
  learners?: WideInteger[];
  /** The id of the cluster; absent until a cluster of an earlier version has chosen one. */
  cluster_id?: ClusterId | null;
  /** What is known of each node, in the order of their ids. Nodes of a cluster of an earlier version may be missing. */
  members?: Member[];
  /**
   * In a joint configuration: the member that becomes a learner when the configuration is left. It takes the place of the
   * member with the same id.
   */
  incoming?: Member | null;
}

/** Who belongs to a cluster. */
export interface MembershipWritten {
  /** The nodes that vote. */
  voters: WideInteger[];
  /**
   * While the voters change: those of before, whose majority is needed too (Raft, 6). Otherwise empty.
   * @default []
   */
  outgoing: WideInteger[];
  /**
   * The nodes that get the log and do not vote.
   * @default []
   */
  learners: WideInteger[];
  /** The id of the cluster; absent until a cluster of an earlier version has chosen one. */
  cluster_id?: ClusterId | null;
  /** What is known of each node, in the order of their ids. Nodes of a cluster of an earlier version may be missing. */
  members?: MemberWritten[];
  /**
   * In a joint configuration: the member that becomes a learner when the configuration is left. It takes the place of the
   * member with the same id.
   */
  incoming?: MemberWritten | null;
}

/** What a node is in its term. */
export type NodeRole =
  /** It takes commands. */
  | "leader"
  /** It follows a leader, or waits for one. */
  | "follower"
  /** It wants to lead. */
  | "candidate"
  /** It gets the log and does not vote. */
  | "learner";

/** What an entry says. */
export type Payload =
  /** Nothing. A new leader commits the entries before it with this one (Raft, 8). */
  | "blank"
  /** A command to the state machine. */
  | { command: Command }
  /** Who belongs to the cluster from this entry on. */
  | { membership: Membership };

/** What to write, and over what. */
export interface PutArgs {
  /** The key, of 1 to 65,536 bytes. */
  key: string;
  /** The new value. */
  value: string;
  /** The version that the key must have; 0 when it must not exist. */
  version: WideInteger;
}

/** Whether it was written. */
export interface PutReply {
  /** The version that the server holds now, also when it refuses. */
  version: WideInteger;
  /** Why nothing was written; null when it was. */
  err: KVError | null;
}

/** A question. */
export interface QueryArgs {
  /** The question, as the state machine understands it. */
  question: unknown;
}

/** An answer. */
export interface QueryReply {
  /** The answer, as the state machine gave it. */
  answer: unknown;
}

/** The arguments of `raft.append_entries`. */
export interface RaftAppendEntriesArgs {
  sender: Sender;
  args: AppendEntriesArgs;
}

/** The arguments of `raft.identify`. */
export type RaftIdentifyArgs = Record<string, never>;

/** The arguments of `raft.install_snapshot`. */
export interface RaftInstallSnapshotArgs {
  sender: Sender;
  args: InstallSnapshotArgs;
}

/** The arguments of `raft.pre_vote`. */
export interface RaftPreVoteArgs {
  sender: Sender;
  args: VoteArgs;
}

/** The arguments of `raft.request_vote`. */
export interface RaftRequestVoteArgs {
  sender: Sender;
  args: VoteArgs;
}

/** The arguments of `raft.timeout_now`. */
export interface RaftTimeoutNowArgs {
  sender: Sender;
  args: TimeoutNowArgs;
}

/** Which piece of a backup to read. */
export interface ReadBackupArgs {
  /** Which backup. */
  backup: WideInteger;
  /**
   * How many bytes of the state come before the piece: those of all pieces so far, or, to read the last piece once more, of all
   * but that one.
   */
  offset: WideInteger;
}

/** Up to where the log must be applied. */
export interface ReadIndexReply {
  /** The index. */
  index: WideInteger;
}

/** Which member to replace, and by which node. */
export interface ReplaceMemberArgs {
  /** The id of the member that leaves. */
  id: WideInteger;
  /** The URL of the new node, at which the other nodes reach it. It must be running, with `serve --join`. */
  url: string;
}

/** Why there is no reply, and whether the command may be in the log all the same. */
export type ReplyErr =
  /** The node does not lead (any more). */
  | {
    wrong_leader: {
      /** The node that does, if it is known. */
      leader: WideInteger | null;
      /** Whether the command may be in the log, and take effect. */
      submitted: boolean;
    };
  }
  /** There is no such session (any more). This copy of the command has not taken effect; an earlier one may have. */
  | "no_session"
  /** The session has too many commands whose replies the client may still want. This one has not taken effect. */
  | "too_many_unanswered"
  /** The node has too much to do, or no space on its disk. The command has not taken effect. */
  | { exhausted: string }
  /** The command is not one. It has not taken effect. */
  | { invalid: string }
  /** There was no answer in time, or the node is stopping. */
  | {
    no_answer: {
      /** What happened. */
      message: string;
      /** Whether the command may be in the log, and take effect. */
      submitted: boolean;
    };
  };

/** The arguments of `rsm.open_session`. */
export type RsmOpenSessionArgs = Record<string, never>;

/** The arguments of `rsm.read_index`. */
export type RsmReadIndexArgs = Record<string, never>;

/** The arguments of `rsm.status`. */
export type RsmStatusArgs = Record<string, never>;

/** 128 random bits, as 32 hexadecimal digits. */
export type RunId = string;

/** Who sends a message, and to whom. */
export interface Sender {
  /** The name of the cluster, the same on all its nodes. */
  cluster: string;
  /** The version of the protocol that the sender speaks. */
  protocol: number;
  /** The sender. */
  from: WideInteger;
  /** The receiver. */
  to: WideInteger;
  /** The id of the sender's cluster; absent in clusters that were founded by an earlier version. */
  cluster_id?: ClusterId | null;
  /** The sender's incarnation. */
  from_incarnation?: Incarnation | null;
  /** The receiver's incarnation, as the sender's membership names it. */
  to_incarnation?: Incarnation | null;
  /** The index of the entry from which the sender's membership comes. */
  membership_index?: WideInteger | null;
}

/** A session that has begun. */
export interface SessionReply {
  /** Names the session in tickets. */
  session: WideInteger;
}

/** Bytes of a snapshot in base64 (RFC 4648, section 4). */
export type SnapshotBytes = string;

/** Which state a snapshot holds. */
export interface SnapshotMeta {
  /** The index of the last entry that it contains. */
  last_index: WideInteger;
  /** The term of that entry. */
  last_term: WideInteger;
  /** Who belongs to the cluster after that entry. */
  membership: Membership;
}

/** Which piece of a snapshot is wanted next. */
export type SnapshotProgress =
  /** The one that begins after this many bytes. */
  | { next: WideInteger }
  /** None: the follower has the snapshot's state, safe on its disk. */
  | "installed"
  /** The message was of an old term; nothing was looked at. */
  | "old_term";

/** How the state of a node compares with those of the others. */
export interface StateCheck {
  /** The index of the entry after which the states were compared. */
  index: WideInteger;
  /** What came of it. */
  agreement: Agreement;
}

/**
 * What the replies of a node's state machine add up to. Nodes whose states are the same have the same digest at the
 * same index.
 */
export interface StateDigest {
  /** Up to which index. */
  index: WideInteger;
  /** The CRC-32 of the replies. */
  digest: number;
}

/** What a node is and how far it has come. */
export interface StatusReply {
  /** The node. */
  id: WideInteger;
  /** What it is in its term. */
  role: NodeRole;
  /** Its term. */
  term: WideInteger;
  /** The leader of the term; null when it is not known. */
  leader: WideInteger | null;
  /** Up to where the log is known to be committed. */
  commit_index: WideInteger;
  /** Up to where the state machine has applied it. */
  applied_index: WideInteger;
  /** The index of the last entry of the log. */
  last_log_index: WideInteger;
  /** The last index that the newest snapshot contains; 0 when there is none. */
  snapshot_index: WideInteger;
  /** How the state of this node compares with those of the others; absent until they are compared. */
  state_check?: StateCheck | null;
  /** The id of the node's cluster; absent until it belongs to one, or where the cluster has none. */
  cluster_id?: ClusterId | null;
  /** Which data folder the node has. */
  incarnation?: Incarnation | null;
  /** What keeps the node from taking part, or what it has noticed that needs an operator, and what to do. Absent if all is well. */
  problem?: string | null;
}

/** A command and, where it may be sent again, its ticket. */
export interface SubmitArgs {
  /** Which command of which session this is; without it, it takes effect each time it is sent. */
  ticket?: Ticket | null;
  /** The command, as the state machine understands it. */
  command: unknown;
}

/** What the state machine replied. */
export interface SubmitReply {
  /** The reply, as the state machine gave it. */
  reply: unknown;
}

/** Names one command of a session. */
export interface Ticket {
  /** The session. */
  session: WideInteger;
  /** The command's number, from 1; the client gives each number once. */
  number: WideInteger;
  /** The client has the replies to all commands below this number, and wants none of them again. */
  answered_below: WideInteger;
}

/** The request to campaign at once. */
export interface TimeoutNowArgs {
  /** The leader's term. */
  term: WideInteger;
}

/** Whether the node campaigns. */
export interface TimeoutNowReply {
  /** The term that the node is in now. */
  term: WideInteger;
  /** Whether it campaigns. */
  campaigns: boolean;
}

/** A candidate and its log. */
export interface VoteArgs {
  /** The term in which the sender wants to lead. */
  term: WideInteger;
  /** The index of the last entry of its log. */
  last_index: WideInteger;
  /** The term of that entry. */
  last_term: WideInteger;
  /** Whether the leader itself has asked for this election, so that having one is no reason to refuse. */
  transfer: boolean;
}

/** A vote, or a refusal. */
export interface VoteReply {
  /** The term that the vote is for; when it is refused, the term that the voter is in. */
  term: WideInteger;
  /** Whether the sender gets the vote. */
  granted: boolean;
}

export type BackupEndReply = null;

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
