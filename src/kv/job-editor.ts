import { messageOf, WherryError } from '../errors.ts'
import { transition } from '../lifecycle.ts'
import type { Put } from '../store/store.ts'
import { wakeOf } from './claim.ts'
import { decodeRecord, type JobRecord, putOf } from './job-record.ts'
import { channelOf, jobKey, PAUSE_PLACE, pauseKey, placeOf } from './layout.ts'
import type { StoreSession } from './store-session.ts'

/** Rebuilds of one change against a record that keeps moving. */
const REBUILDS_MAX = 20
/** Settled jobs that are removed with one commit. */
const REMOVE_MAX = 500
/** Looks again at those that could not be removed: some three seconds of them. */
const REMOVE_TRIES = 6

/** Changes that come from outside a claim: cancel, retry, remove, pause. */
export class JobEditor {
  readonly #session: StoreSession

  constructor(session: StoreSession) {
    this.#session = session
  }

  /** Cancels what is not settled. Answers the record as it is then; null when there is none. */
  cancel(id: string): Promise<JobRecord | null> {
    return this.#edit(id, (record) => {
      const life = transition(record.life, { type: 'cancelled', at: this.#session.clock.now() })
      return life && this.#put({ ...record, life })
    })
  }

  /**
   * Lets a settled job run again, as if it had just been added.
   *
   * @throws WherryError `job-unsettled` when it has not come to its end.
   */
  retry(id: string): Promise<JobRecord | null> {
    return this.#edit(id, (record, tried) => {
      const life = transition(record.life, { type: 'retried', at: this.#session.clock.now() })
      if (life === null) {
        // It runs again by our own commit, whose answer was lost.
        if (tried) return null
        throw unsettled('retry', record)
      }
      const parts = { result: null, error: null }
      return this.#put({ ...record, life, owner: '', errorIsCut: false }, parts)
    })
  }

  /**
   * Removes a settled job. Answers whether there was one.
   *
   * @throws WherryError `job-unsettled`.
   */
  async remove(id: string): Promise<boolean> {
    const removed = await this.#edit(id, (record) => {
      const { settledAt, lease } = record.life
      if (settledAt === null || lease !== null) throw unsettled('remove', record)
      return { next: record, put: { key: record.key, expect: record.version, drop: true } }
    })
    return removed !== null
  }

  /** Removes what was settled before then. Answers how many. */
  async removeSettled(queueNames: readonly string[], before: number): Promise<number> {
    let removed = 0
    for (const name of queueNames) {
      for (const kind of ['completed', 'failed', 'cancelled'] as const) {
        removed += await this.#removeFrom(placeOf(kind, name), before)
      }
    }
    return removed
  }

  async pause(queueName: string): Promise<void> {
    const put = { key: pauseKey(queueName), expect: null, place: PAUSE_PLACE, score: 0, head: '' }
    await this.#session.commit([put])
  }

  async resume(queueName: string): Promise<void> {
    const key = pauseKey(queueName)
    const { got, now } = await this.#session.read({ get: [key] })
    if (!got[0]) return
    const wake = { channel: channelOf(queueName), at: now }
    await this.#session.commit([{ key, expect: got[0].version, drop: true }], [wake])
  }

  async paused(queueNames: readonly string[]): Promise<boolean[]> {
    const { got } = await this.#session.read({ get: queueNames.map(pauseKey) })
    return got.map((record) => record !== null)
  }

  async #removeFrom(place: string, before: number): Promise<number> {
    for (let removed = 0, tries = 1; ; ) {
      const { ranges } = await this.#session.read({
        ranges: [{ place, to: before, limit: REMOVE_MAX }],
      })
      const found = ranges[0] ?? []
      const versions = await Promise.all(
        found.map(({ key, version }) =>
          this.#session.commit([{ key, expect: version, drop: true }]),
        ),
      )
      const gone = versions.filter((version) => version !== null).length
      removed += gone
      if (gone === found.length ? gone < REMOVE_MAX : tries > REMOVE_TRIES) return removed
      // A store may still be busy with how one of them was settled.
      if (gone < found.length) await this.#session.backOff(tries++)
    }
  }

  #put(next: JobRecord, parts?: Put['parts']): Edit {
    const put = putOf(next, this.#session.clock.now())
    return { next, put: parts ? { ...put, parts } : put }
  }

  /** Applies the edit to what is stored, however often it moves meanwhile; null edit: as it is. */
  async #edit(
    id: string,
    editOf: (record: JobRecord, tried: JobRecord | null) => Edit | null,
  ): Promise<JobRecord | null> {
    let failure: unknown
    /** What a commit of unknown fate was about. */
    let tried: JobRecord | null = null
    for (let rebuild = 0; rebuild < REBUILDS_MAX; rebuild++) {
      const { got } = await this.#session.read({ get: [jobKey(id)] })
      const [stored] = got
      if (!stored) return tried
      const record = decodeRecord(stored)
      const edit = editOf(record, tried)
      if (edit === null) return record
      try {
        const wake = edit.put.drop ? [] : wakeOf(edit.next, this.#session.clock.now())
        const version = await this.#session.commit([edit.put], wake)
        if (version !== null) return { ...edit.next, version }
      } catch (error) {
        failure = error
        tried = record
      }
      if (rebuild > 0) await this.#session.backOff(rebuild)
    }
    throw new WherryError(
      'store-unavailable',
      `Cannot change job "${id}": ${messageOf(failure ?? 'it keeps changing')}`,
      {
        cause: failure,
      },
    )
  }
}

interface Edit {
  readonly next: JobRecord
  readonly put: Put
}

function unsettled(action: string, { id, life }: JobRecord): WherryError {
  const state =
    life.settledAt === null ? life.state : `${life.state}, but its handler has not stopped yet`
  return new WherryError(
    'job-unsettled',
    `Cannot ${action} job "${id}": it is ${state}, expected a settled job`,
  )
}
