/**
 * Where everything lies in a store: the keys, the places and the scores.
 *
 * A job is one record, `j/<id>` (or `u/<id>` when its user chose the id), in exactly one place.
 * The place says the state, so a count of states is a sum of counts of places.
 */
import { WherryError } from '../errors.ts'
import { isGeneratedId } from '../job-id.ts'
import { type JobLife, JobState } from '../lifecycle.ts'
import { shown } from '../refusal.ts'
import type { PlaceClass } from '../store/store.ts'

export type PlaceKind =
  | 'ready'
  /** A retry whose back-off is over. */
  | 'again'
  | 'delayed'
  | 'retrying'
  /** Kept by its adder, who has not begun. */
  | 'held'
  | 'lease'
  /** Cancelled, but its handler has not stopped yet. */
  | 'cancelling'
  | 'completed'
  | 'failed'
  | 'cancelled'

interface PlaceRule {
  /** What a store may read in the place. */
  readonly class: Exclude<PlaceClass, 'k'>
  /** What a job there shows. */
  readonly state: JobState
}

/** The places of a queue. */
export const PLACES: Readonly<Record<PlaceKind, PlaceRule>> = {
  ready: { class: 'r', state: JobState.PENDING },
  again: { class: 'r', state: JobState.RETRYING },
  delayed: { class: 'd', state: JobState.PENDING },
  retrying: { class: 'd', state: JobState.RETRYING },
  held: { class: 'l', state: JobState.PENDING },
  lease: { class: 'l', state: JobState.RUNNING },
  cancelling: { class: 'l', state: JobState.CANCELLED },
  completed: { class: 's', state: JobState.COMPLETED },
  failed: { class: 's', state: JobState.FAILED },
  cancelled: { class: 's', state: JobState.CANCELLED },
}

export const PLACE_KINDS: readonly PlaceKind[] = Object.keys(PLACES) as PlaceKind[]

export function placesOfState(state: JobState): PlaceKind[] {
  return PLACE_KINDS.filter((kind) => PLACES[kind].state === state)
}

export function placeOf(kind: PlaceKind, queueName: string): string {
  return `${PLACES[kind].class}/${kind}/${encodeName(queueName)}`
}

/** The other way round; null when the place is none of a queue's. */
export function parsePlace(place: string): { kind: PlaceKind; queueName: string } | null {
  const [, kind = '', name = ''] = place.split('/')
  if (!Object.hasOwn(PLACES, kind)) return null
  return { kind: kind as PlaceKind, queueName: decodeName(name) }
}

/** Where a job of this life belongs. */
export function kindOf(life: JobLife, now: number): PlaceKind {
  const due = life.runAt === null || life.runAt <= now
  switch (life.state) {
    case JobState.PENDING:
      return life.lease !== null ? 'held' : due ? 'ready' : 'delayed'
    case JobState.RETRYING:
      return due ? 'again' : 'retrying'
    case JobState.RUNNING:
      return 'lease'
    case JobState.COMPLETED:
      return 'completed'
    case JobState.FAILED:
      return 'failed'
    case JobState.CANCELLED:
      return life.lease !== null ? 'cancelling' : 'cancelled'
  }
}

/** 2020-01-01: keeps ranks small enough to hold a priority beside the milliseconds. */
const RANK_EPOCH_MS = 1_577_836_800_000
/** Milliseconds that one step of priority weighs: 69 years. */
const PRIORITY_STEP = 2 ** 41
/** 2,047 steps of 2^41 and 69 years of milliseconds stay below 2^53, where numbers are exact. */
export const PRIORITY_MAX = 2_047

/** The position in `ready` and `again`: by priority, then by the time it became runnable. */
export function rankOf(priority: number, since: number): number {
  return since - RANK_EPOCH_MS - priority * PRIORITY_STEP
}

const JOB_KEY = /^[ju]\//

/** Generated ids sort by time and have a key space of their own, so listing by age needs no index. */
export function jobKey(id: string): string {
  return `${isGeneratedId(id) ? 'j' : 'u'}/${id}`
}

/** The id of the job whose key this is; null when the key is not a job's. */
export function idOfKey(key: string): string | null {
  return JOB_KEY.test(key) ? key.slice(2) : null
}

/** Jobs with ids of their users' own stand in this list, by creation. */
export const CREATED_TAG = 'created'
/** Jobs with generated ids have keys that start so, in the order of creation. */
export const GENERATED_PREFIX = 'j/'

export function pauseKey(queueName: string): string {
  return `k/pause/${encodeName(queueName)}`
}

export const PAUSE_PLACE = 'k/pause'

/** The record by which everyone knows that the queue exists; its name is the key's last part. */
export function queueKey(queueName: string): string {
  return `k/queue/${encodeName(queueName)}`
}

export function queueOfKey(key: string): string {
  return decodeName(key.slice('k/queue/'.length))
}

export const QUEUE_PLACE = 'k/queue'
export const FORMAT_KEY = 'k/format'
export const FORMAT_PLACE = 'k/format'

/** The wake-up channel of a queue. */
export function channelOf(queueName: string): string {
  return `queue/${encodeName(queueName)}`
}

/** Where a cancellation of a job of the queue that runs is told. */
export function cancelChannelOf(queueName: string): string {
  return `cancel/${encodeName(queueName)}`
}

const NAME_LENGTH_MAX = 100
const PLAIN_NAME = /^[A-Za-z0-9._-]+$/
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/

/**
 * Refuses names of queues that cannot be shown.
 *
 * @throws WherryError `name-invalid`.
 */
export function assertQueueName(name: unknown): asserts name is string {
  const fits =
    typeof name === 'string' &&
    name.length > 0 &&
    name.length <= NAME_LENGTH_MAX &&
    name.trim() === name &&
    !UNPRINTABLE.test(name) &&
    name.isWellFormed()
  if (fits) return
  throw new WherryError(
    'name-invalid',
    `Cannot use ${shown(name)} as the name of a queue: expected 1 to ${NAME_LENGTH_MAX} printable characters, trimmed`,
  )
}

/** As printable ASCII without "/", and so that no two names meet; at most 401 bytes. */
export function encodeName(name: string): string {
  if (PLAIN_NAME.test(name)) return name
  const bytes = new TextEncoder().encode(name)
  const base64 = btoa(String.fromCharCode(...bytes))
  return `~${base64.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')}`
}

export function decodeName(encoded: string): string {
  if (!encoded.startsWith('~')) return encoded
  const binary = atob(encoded.slice(1).replaceAll('-', '+').replaceAll('_', '/'))
  return new TextDecoder().decode(Uint8Array.from(binary, (char) => char.charCodeAt(0)))
}
