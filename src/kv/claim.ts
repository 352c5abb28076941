import { WherryError } from '../errors.ts'
import { type JobEvent, type JobLife, transition } from '../lifecycle.ts'
import type { Put, StoredRecord, Wake } from '../store/store.ts'
import { decodeRecord, encodeStamp, type JobRecord, putOf, stampOf } from './job-record.ts'
import { cancelChannelOf, channelOf, kindOf, PLACES } from './layout.ts'
import type { StoreSession } from './store-session.ts'

/** What became of a change to a claimed job. */
export type ChangeResult =
  /** It is stored. */
  | 'done'
  /** Someone cancelled the job; it waits for its holder to stop. */
  | 'cancelled'
  /** Someone else holds the job, or it is settled or gone: nothing was changed. */
  | 'lost'

/** What happens to a claimed job, and what is stored with it. */
export interface Change {
  readonly event: JobEvent
  readonly parts?: Put['parts']
  /** Whether the event's error is only the beginning of the part `error`. */
  readonly errorIsCut?: boolean
}

/** What a cancelled attempt has come to is nobody's result. */
const ACKNOWLEDGEMENT: Change = { event: { type: 'acknowledged' } }

/** Rebuilds of one change against a record that keeps moving, before it is given up. */
const REBUILDS_MAX = 20

/**
 * One attempt's hold on a job. Every change goes through one serial mailbox and is computed from
 * the latest known record, so a renewal under way can never overwrite a settlement.
 */
export class Claim {
  readonly owner: string
  readonly fence: number
  #record: JobRecord
  #tail: Promise<unknown> | null = null
  #over: 'cancelled' | 'lost' | null = null
  readonly #session: StoreSession
  /** Hears once that the job was cancelled or lost. */
  holder: { interrupt(why: 'cancelled' | 'lost'): void } | null = null

  /** `record` is as its claim left it: leased to `owner`. */
  constructor(session: StoreSession, record: JobRecord) {
    this.#session = session
    this.#record = record
    this.owner = record.owner
    this.fence = record.life.fence
  }

  get record(): JobRecord {
    return this.#record
  }

  /** Whether the job turned out to be cancelled or lost. */
  get isOver(): boolean {
    return this.#over !== null
  }

  /** Whether the holder may still believe in its lease. */
  get believed(): boolean {
    const { lease } = this.#record.life
    return lease !== null && this.#session.clock.latest() < lease.until
  }

  /** Begins a held job in memory alone: the settlement is the next that the store hears. */
  begin(at: number): void {
    const { lease } = this.#record.life
    const next = lease && this.#next({ event: { type: 'started', at, lease } })
    if (next) this.#record = next
  }

  /** Makes the lease last from now. Answers `lost` when the job is no longer this holder's. */
  renew(): Promise<ChangeResult> {
    const { clock } = this.#session
    return this.#change(({ lease }) => ({
      event: { type: 'renewed', until: clock.now() + (lease?.lengthMs ?? 0) },
    }))
  }

  /** Stores how far the attempt has come. */
  progress(progress: number): Promise<ChangeResult> {
    return this.#change(() => ({ event: { type: 'progressed', progress } }))
  }

  /** Ends the claim. A job that was cancelled meanwhile is acknowledged instead. */
  settle(change: Change): Promise<ChangeResult> {
    return this.#inTurn(() =>
      this.#apply(() => (this.#over === 'cancelled' ? ACKNOWLEDGEMENT : change)),
    )
  }

  /** A change on the way. Once the claim is over there are none: its end alone is left to store. */
  #change(changeOf: (life: JobLife) => Change): Promise<ChangeResult> {
    return this.#inTurn(async () => this.#over ?? this.#apply(changeOf))
  }

  #inTurn(act: () => Promise<ChangeResult>): Promise<ChangeResult> {
    const result = this.#tail === null ? act() : this.#tail.then(act, act)
    this.#tail = result
    return result
  }

  async #apply(changeOf: (life: JobLife) => Change): Promise<ChangeResult> {
    for (let rebuild = 0; rebuild < REBUILDS_MAX; rebuild++) {
      const change = changeOf(this.#record.life)
      const next = this.#next(change)
      if (next === null) return this.#over ?? 'lost'
      const version = await this.#commit(next, change)
      if (version) {
        this.#record = { ...next, version }
        return this.#over === 'cancelled' ? 'cancelled' : 'done'
      }
      const found = await this.#find(change.event)
      if (found !== null) return found
      if (rebuild > 0) await this.#session.backOff(rebuild)
    }
    throw new WherryError(
      'store-unavailable',
      `Cannot change job "${this.#record.id}": it keeps changing`,
    )
  }

  #next({ event, errorIsCut = false }: Change): JobRecord | null {
    if (this.#over === 'lost') return null
    const life = transition(this.#record.life, event)
    return life && { ...this.#record, life, errorIsCut: errorIsCut || this.#record.errorIsCut }
  }

  /** Answers the new version, null when the record had moved, undefined when that is unknown. */
  async #commit(next: JobRecord, { event, parts }: Change): Promise<string | null | undefined> {
    const now = this.#session.clock.now()
    const put = this.#put(next, event, now)
    try {
      return await this.#session.commit([parts ? { ...put, parts } : put], wakeOf(next, now))
    } catch (error) {
      if (error instanceof TypeError) throw error
      return undefined
    }
  }

  #put(next: JobRecord, event: JobEvent, now: number): Put {
    const { key, version: expect } = next
    const { lease } = next.life
    if (lease === null || (event.type !== 'renewed' && event.type !== 'progressed')) {
      return putOf(next, now)
    }
    // The head stays as the claim found it: a renewal is the stamp and the deadline alone.
    return { key, expect, score: lease.until, stamp: encodeStamp(stampOf(next, lease)) }
  }

  /** Looks at what is stored after a commit that failed; null: it is still ours, try again. */
  async #find(event: JobEvent): Promise<ChangeResult | null> {
    const { got } = await this.#session.readPersistently({ get: [this.#record.key] })
    const found = decodeOwn(got[0] ?? null)
    if (found === null || found.owner !== this.owner || found.life.fence !== this.fence)
      return this.#end('lost')
    const kind = kindOf(found.life, this.#session.clock.now())
    if (kind === 'cancelling') {
      this.#record = found
      this.#end('cancelled')
      return event.type === 'renewed' || event.type === 'progressed' ? 'cancelled' : null
    }
    if (PLACES[kind].class === 'l') {
      const begun = this.#record.life
      this.#record =
        kind === 'held' && begun.state === 'RUNNING' ? { ...found, life: begun } : found
      // A renewal or progress whose answer alone was lost is done.
      return isIn(found.life, event) ? 'done' : null
    }
    // Nobody else leaves our owner and fence in a record that is not leased: it was our own commit,
    // or a cancellation before the start.
    this.#record = found
    return kind === 'cancelled' ? this.#end('cancelled') : 'done'
  }

  #end(why: 'cancelled' | 'lost'): ChangeResult {
    if (this.#over === null) {
      this.#over = why
      this.holder?.interrupt(why)
    }
    return why
  }
}

function isIn({ lease, progress }: JobLife, event: JobEvent): boolean {
  if (event.type === 'renewed') return lease !== null && lease.until >= event.until
  return event.type === 'progressed' && progress === event.progress
}

function decodeOwn(record: StoredRecord | null): JobRecord | null {
  try {
    return record && decodeRecord(record)
  } catch {
    return null
  }
}

/** A job that goes back into the line wakes whoever waits for one; a cancelled one, its holder. */
export function wakeOf({ queueName, life }: JobRecord, now: number): Wake[] {
  const kind = kindOf(life, now)
  if (kind === 'cancelling') return [{ channel: cancelChannelOf(queueName), at: now }]
  const runnable = PLACES[kind].class === 'r'
  if (!runnable && PLACES[kind].class !== 'd') return []
  return [{ channel: channelOf(queueName), at: runnable ? now : (life.runAt ?? now) }]
}
