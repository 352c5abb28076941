/**
 * The Store port: all that the queue asks of a place to keep jobs in.
 *
 * Think of a board of cards. A record is a card: it lies in exactly one *place* at a *score*, has a
 * small *head* that lists and filters need, named *parts* (payload, result) that are read only when
 * asked for, a *stamp* laid over the head by whoever holds it, rare *tags* (further lists), and a
 * *version*. Nothing in the port knows what a job is. `docs/writing-a-store.md` is the long form;
 * the suite in `wherry/testing` checks every sentence below.
 *
 * Heads, stamps and parts are any text without U+0000; keys, places, tags and names of parts are
 * printable ASCII.
 */

/**
 * What a store can promise about two rival commits.
 *
 * - `atomic`: many processes; of two rivals one surely loses.
 * - `process`: the same, but only inside this one process.
 * - `eventual`: no compare-and-set and stale reads; two rivals may both believe that they won.
 */
export type Guarantee = 'atomic' | 'process' | 'eventual'

/**
 * The first character of a place, and all that a store may read in it.
 *
 * - `r` runnable now; the score is a rank.
 * - `d` due later; the score is the time it falls due, in ms since 1970.
 * - `l` leased; the score is the deadline of the lease, in ms since 1970.
 * - `s` settled; the score is the time of settlement, in ms since 1970. A store may expire these.
 * - `k` kept: no work at all (settings, indexes). The keys of these records, and no others, start
 *   with `k/`; such a record never leaves the class.
 */
export type PlaceClass = 'r' | 'd' | 'l' | 's' | 'k'

/** A record as it was at one moment. */
export interface StoredRecord {
  readonly key: string
  /** A token that no write ever gets again, over deletes and restores too. Compare, never order. */
  readonly version: string
  readonly place: string
  /** A safe integer. Places and tags are ordered by (score, key), keys by UTF-8 bytes. */
  readonly score: number
  /** Cleared by every write that does not name it. */
  readonly stamp: string
  readonly head: string
  /** Only the parts that were asked for and exist. */
  readonly parts?: Readonly<Record<string, string>>
  /** Further lists that the record stands in, with its score in each. */
  readonly tags?: Readonly<Record<string, number>>
}

/** One change to one record. A field that is absent keeps its value, except `stamp`. */
export interface Put {
  readonly key: string
  /** The version that the record must have now; null: it must not exist. */
  readonly expect: string | null
  /** Deletes the record with its parts and tags. */
  readonly drop?: true
  readonly head?: string
  readonly stamp?: string
  /** Named parts are written (null: removed), the others kept. */
  readonly parts?: Readonly<Record<string, string | null>>
  readonly place?: string
  readonly score?: number
  /** Replaces all tags. */
  readonly tags?: Readonly<Record<string, number>>
}

/** A stretch of one ordered list. Exactly one of `place`, `tag` and `prefix` is given. */
export interface Range {
  readonly place?: string
  readonly tag?: string
  /** All records whose key starts so, in key order; scores are not looked at. */
  readonly prefix?: string
  /** Lowest score, inclusive. */
  readonly from?: number
  /** Highest score, inclusive. */
  readonly to?: number
  /** Only what comes after this (score, key) in the direction of reading. */
  readonly after?: readonly [score: number, key: string]
  readonly limit: number
  readonly reverse?: boolean
}

export interface Query {
  readonly get?: readonly string[]
  /** Names of the parts to read with the records of `get`. */
  readonly parts?: readonly string[]
  readonly ranges?: readonly Range[]
  /** Places whose records are to be counted. */
  readonly counts?: readonly string[]
}

export interface Answer {
  /** The store's clock in ms since 1970, taken while it answered. */
  readonly now: number
  readonly got: readonly (StoredRecord | null)[]
  readonly ranges: readonly (readonly StoredRecord[])[]
  readonly counts: readonly number[]
}

/** Every bound of a store. What goes over one is refused by name before anything is written. */
export interface Limits {
  /** Puts that write, in one unit. Checks (a put with nothing but `expect`) are not counted. */
  readonly unitPuts: number
  /** Units in one commit. 1: commits are not worth pooling. */
  readonly batchUnits: number
  /** Bytes of a key, as UTF-8. */
  readonly keyBytes: number
  /** Bytes of one part, as UTF-8. */
  readonly partBytes: number
  /** Bytes of all keys, heads and parts of one unit, as UTF-8. */
  readonly unitBytes: number
  /** Store operations that one invocation of the platform may use. Absent: no such bound. */
  readonly invocationOperations?: number
}

/** Every head is at most this long, as UTF-8, so that a list entry of any store can hold it. */
export const HEAD_BYTES_MAX = 640

/** Says that something in `channel` falls due at `at` (ms since 1970). */
export interface Wake {
  readonly channel: string
  readonly at: number
}

export interface Hint {
  /** Sent to subscribers when the commit wrote something. */
  readonly wake?: readonly Wake[]
}

/** What a fused claim takes: the first records of the lists, merged by (score, key). */
export interface Take {
  readonly from: readonly string[]
  readonly limit: number
  readonly into: string
  readonly score: number
  /** New for each call: by it the caller knows what a call took whose answer was lost. */
  readonly stamp: string
  /** Takes nothing while any of these keys exists. */
  readonly unless?: readonly string[]
  /** Names of the parts to return. */
  readonly parts?: readonly string[]
}

/** What a store has done so far, counted in its own units (what its owner is billed for). */
export interface Operations {
  readonly reads: number
  readonly writes: number
  readonly deletes: number
  readonly lists: number
}

export interface Store {
  /** The scheme of its URL, such as `memory` or `sqlite`; shown by `/health`, never with secrets. */
  readonly name: string
  readonly guarantee: Guarantee
  /** Whose clock `now` is: one that all users of the store share, or this process's own. */
  readonly clock: 'store' | 'local'
  readonly limits: Limits
  /**
   * Reads all that the query names in one round trip. Each record is a committed state at or after
   * every commit that was acknowledged before the call (not on `eventual`).
   */
  read(query: Query): Promise<Answer>
  /**
   * Commits units, each all or nothing and independent of the others. Answers, per unit, the new
   * version of every record it wrote, or null: an expectation failed and nothing was written.
   * A unit of checks alone answers `''` when they hold. A *rejected* promise means "unknown": the
   * commit may have happened.
   *
   * @throws TypeError before anything is written, when a unit is over a limit or a key that one
   * unit writes stands in another.
   */
  commit(units: readonly (readonly Put[])[], hint?: Hint): Promise<(string | null)[]>
  /** A fused `read` and `commit`; a store without it is claimed from by those two. */
  take?(request: Take): Promise<StoredRecord[]>
  /** Hears wake-ups. Losing one costs latency, never a job. Returns how to stop hearing. */
  subscribe?(channel: string, hear: (at: number) => void): () => void
  operations(): Operations
  /** Releases what the store itself opened. Idempotent. */
  close(): Promise<void>
}
