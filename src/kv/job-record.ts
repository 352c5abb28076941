/**
 * A job as a record of a store, and back. What changes often or is filtered on stands in the head;
 * `data`, `result` and a long `error` are parts. While a job is leased its head stays as the claim
 * found it, and the stamp says the rest, so that a claim can be one fused call of the store.
 */
import { WherryError } from '../errors.ts'
import { type JobLife, type Lease, transition } from '../lifecycle.ts'
import { byteLength } from '../store/commit-rules.ts'
import { HEAD_BYTES_MAX, type Put, type StoredRecord } from '../store/store.ts'
import {
  CREATED_TAG,
  idOfKey,
  kindOf,
  PLACES,
  type PlaceKind,
  parsePlace,
  placeOf,
  rankOf,
} from './layout.ts'

/** The newest layout of records that this code reads. */
export const RECORD_FORMAT = 1

/** A job as it stands in a store, without its parts. */
export interface JobRecord {
  readonly id: string
  readonly key: string
  /** '' until it is stored. */
  readonly version: string
  readonly queueName: string
  readonly life: JobLife
  /** Milliseconds since 1970. */
  readonly createdAt: number
  readonly priority: number
  /** How long an attempt may take, in ms; null: as long as it likes. */
  readonly timeoutMs: number | null
  /** A nonce of the add, by which the adder knows its own record again. */
  readonly nonce: string
  /** The owner of the last claim; kept over the settlement, to know one's own again. */
  readonly owner: string
  /** Whether `life.error` is only the beginning of the part `error`. */
  readonly errorIsCut: boolean
  /** Whether the order of ids is not that of creation: its user chose the id, or the time. */
  readonly isListedApart: boolean
  readonly parts: Readonly<Record<string, string>>
}

/** The head as JSON. Fields at their default are left out. */
interface Head {
  v: number
  /** createdAt, retries, attempts, lapses, priority */
  c: number
  n?: number | undefined
  a?: number | undefined
  l?: number | undefined
  p?: number | undefined
  /** runAt, startedAt, settledAt */
  r?: number | undefined
  s?: number | undefined
  e?: number | undefined
  /** fence, progress, timeout, nonce, owner, length of the lease */
  f?: number | undefined
  g?: number | undefined
  t?: number | undefined
  d?: string | undefined
  o?: string | undefined
  m?: number | undefined
  /** error, and whether it was cut */
  x?: string | undefined
  y?: 1 | undefined
}

/**
 * Reads a record as a job.
 *
 * @throws WherryError `record-corrupt` when it is not one, or of a format that is not known here.
 */
export function decodeRecord(record: StoredRecord): JobRecord {
  const place = parsePlace(record.place)
  const id = idOfKey(record.key)
  if (place === null || id === null) throw corrupt(record, `its place is "${record.place}"`)
  const head = parseHead(record)
  const stamp = record.stamp === '' ? null : parseStamp(record.stamp)
  return {
    id,
    key: record.key,
    version: record.version,
    queueName: place.queueName,
    life: stamp
      ? leasedLife(head, stamp, place.kind, record)
      : lifeOf(head, place.kind, record.score),
    createdAt: head.c,
    priority: head.p ?? 0,
    timeoutMs: head.t ?? null,
    nonce: head.d ?? '',
    owner: stamp?.owner ?? head.o ?? '',
    errorIsCut: head.y === 1,
    isListedApart: record.tags?.[CREATED_TAG] !== undefined,
    parts: record.parts ?? {},
  }
}

function parseHead(record: StoredRecord): Head {
  let head: Head
  try {
    head = JSON.parse(record.head)
  } catch (cause) {
    throw corrupt(record, 'its head is not JSON', cause)
  }
  if (head?.v === RECORD_FORMAT) return head
  throw corrupt(record, `its format is ${head?.v}, this version reads ${RECORD_FORMAT}`)
}

function corrupt(record: StoredRecord, why: string, cause?: unknown): WherryError {
  return new WherryError('record-corrupt', `Cannot read the record "${record.key}": ${why}`, {
    cause,
  })
}

function lifeOf(head: Head, kind: PlaceKind, score: number): JobLife {
  const leased = PLACES[kind].class === 'l' && head.o !== undefined
  return {
    state: PLACES[kind].state,
    retries: head.n ?? 0,
    attempts: head.a ?? 0,
    lapses: head.l ?? 0,
    progress: head.g ?? 0,
    runAt: head.r ?? null,
    startedAt: head.s ?? null,
    settledAt: head.e ?? null,
    error: head.x,
    fence: head.f ?? 0,
    lease: leased ? { owner: head.o as string, until: score, lengthMs: head.m ?? 0 } : null,
  }
}

/** What the stamp of a leased record says. */
export interface Stamp {
  readonly owner: string
  /** When it was claimed, in ms since 1970 on the store's clock. */
  readonly at: number
  readonly lengthMs: number
  readonly progress: number
}

export function encodeStamp({ owner, at, lengthMs, progress }: Stamp): string {
  return `${owner} ${at} ${lengthMs} ${progress}`
}

function parseStamp(stamp: string): Stamp {
  const [owner = '', at, lengthMs, progress] = stamp.split(' ')
  return { owner, at: Number(at), lengthMs: Number(lengthMs), progress: Number(progress) }
}

/** The head is from before the claim, where the job waited; the place tells whether it has begun. */
function leasedLife(head: Head, stamp: Stamp, kind: PlaceKind, record: StoredRecord): JobLife {
  const { owner, at, lengthMs, progress } = stamp
  const lease: Lease = { owner, until: record.score, lengthMs }
  const waiting = { ...lifeOf(head, 'ready', 0), progress }
  const life = transition(waiting, { type: kind === 'lease' ? 'started' : 'held', at, lease })
  if (life === null || !Number.isFinite(at)) throw corrupt(record, `its stamp is "${record.stamp}"`)
  return life
}

/** When the stamped claim of the record was made; for a renewal, which must say it again. */
export function stampOf(record: JobRecord, lease: Lease): Stamp {
  const { startedAt, fence, progress } = record.life
  return { owner: lease.owner, at: startedAt ?? fence, lengthMs: lease.lengthMs, progress }
}

/** The put that stores the job as it is now: everything but its parts. */
export function putOf(record: JobRecord, now: number): Put {
  const { key, version, queueName, life } = record
  const kind = kindOf(life, now)
  const put = {
    key,
    // It has none before it is stored.
    expect: version || null,
    place: placeOf(kind, queueName),
    score: scoreOf(kind, record, now),
    head: encodeHead(record),
  }
  // A copy: where V8 sees what a literal makes live long, it places all that comes after among the
  // old objects, which keep alive what they point to.
  return { ...put }
}

function scoreOf(kind: PlaceKind, { life, priority, createdAt }: JobRecord, now: number): number {
  switch (PLACES[kind].class) {
    case 'r':
      return rankOf(priority, life.runAt ?? createdAt)
    case 'd':
      return life.runAt ?? now
    case 'l':
      return life.lease?.until ?? now
    case 's':
      return life.settledAt ?? now
  }
}

/** By hand: `JSON.stringify` of all fields takes three times as long, and this is done at each write. */
function encodeHead(record: JobRecord): string {
  const { life, createdAt, nonce, owner } = record
  let head = `{"v":${RECORD_FORMAT},"c":${createdAt}`
  const add = (field: Exclude<keyof Head, 'v' | 'c'>, value: string | number): void => {
    head += `,"${field}":${value}`
  }
  if (life.retries) add('n', life.retries)
  if (life.attempts) add('a', life.attempts)
  if (life.lapses) add('l', life.lapses)
  if (record.priority) add('p', record.priority)
  if (life.runAt !== null) add('r', life.runAt)
  if (life.startedAt !== null) add('s', life.startedAt)
  if (life.settledAt !== null) add('e', life.settledAt)
  if (life.fence) add('f', life.fence)
  if (life.progress) add('g', life.progress)
  if (record.timeoutMs !== null) add('t', record.timeoutMs)
  if (nonce) add('d', JSON.stringify(nonce))
  if (owner) add('o', JSON.stringify(owner))
  if (life.lease !== null) add('m', life.lease.lengthMs)
  if (life.error !== undefined) add('x', JSON.stringify(life.error))
  if (record.errorIsCut) add('y', 1)
  return `${head}}`
}

/** Bytes of a head that its error may take: the other fields need at most 300. */
const ERROR_BYTES_MAX = HEAD_BYTES_MAX - 300

/** The beginning of an error's text that fits in a head. */
export function cutError(text: string): string {
  const fits = (length: number): boolean =>
    byteLength(JSON.stringify(text.slice(0, length))) <= ERROR_BYTES_MAX
  if (text.length <= ERROR_BYTES_MAX && fits(text.length)) return text
  let length = Math.min(text.length, ERROR_BYTES_MAX)
  while (!fits(length)) length = Math.floor(length * 0.9)
  return text.slice(0, length).toWellFormed()
}

/** The put that stores the job for the first time. */
export function putOfNew(
  record: JobRecord,
  now: number,
  parts: Readonly<Record<string, string>>,
): Put {
  const tags = record.isListedApart && { tags: { [CREATED_TAG]: record.createdAt } }
  const put = { ...putOf(record, now), parts, ...tags }
  const { lease } = record.life
  return lease === null ? put : { ...put, stamp: encodeStamp(stampOf(record, lease)) }
}
