import { WherryError } from '../errors.ts'
import { isWrite } from './commit-rules.ts'
import type { RecordIndex } from './record-index.ts'
import type { Change, Plan, RecordSlots } from './record-slots.ts'
import { inParallel } from './storage-items.ts'
import type { StorageOwner } from './storage-owner.ts'
import type { Put } from './store.ts'
import type { VersionSource } from './version-source.ts'

/** A unit that waits for its round. */
interface Waiting {
  readonly unit: readonly Put[]
  resolve(version: string | null): void
  reject(error: unknown): void
}

/** A unit whose expectations hold, on its way to the storage. */
interface Writing extends Waiting {
  readonly version: string
  readonly plan: Plan
}

/** A change whose write failed. */
interface Doubt {
  readonly change: Change
  /** Whether a write of what was before may be on its way, so that the change cannot stand any more. */
  isUndoing: boolean
}

/** Doubts that a round looks into although none of its units names their records. */
const OLD_DOUBTS = 16

/**
 * Decides units one after another and makes them durable many at a time.
 *
 * It works in rounds: the units of a round touch different records, are written side by side, and
 * each is applied to the index, and acknowledged, when it is durable. So the index never shows what
 * a crash could take back. A write that fails leaves its record in doubt, and nothing more is
 * decided about that record until the change was found in the storage or undone.
 */
export class RecordWriter {
  readonly #index: RecordIndex
  readonly #slots: RecordSlots
  readonly #owner: StorageOwner
  readonly #versions: VersionSource
  readonly #doubts = new Map<string, Doubt>()
  #waiting: Waiting[] = []
  #working: Promise<void> | null = null
  #closed = false

  constructor(
    index: RecordIndex,
    slots: RecordSlots,
    owner: StorageOwner,
    versions: VersionSource,
  ) {
    this.#index = index
    this.#slots = slots
    this.#owner = owner
    this.#versions = versions
  }

  /** Answers as the port's `commit` does for one unit; a rejection leaves only this unit unknown. */
  commit(unit: readonly Put[]): Promise<string | null> {
    if (this.#closed) {
      const message = 'Cannot commit: the store is closed, expected an open one'
      return Promise.reject(new WherryError('store-unavailable', message))
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ unit, resolve, reject })
      this.#working ??= this.#work()
    })
  }

  /** Takes no more units, and waits for those it has. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#working
  }

  async #work(): Promise<void> {
    // After the microtasks of this moment, whose units go into the same round.
    await Promise.resolve()
    let cleaning = Promise.resolve()
    do {
      while (this.#waiting.length > 0) {
        await this.#round()
        await cleaning
        cleaning = this.#slots.clean()
      }
      await cleaning
    } while (this.#waiting.length > 0)
    this.#working = null
  }

  async #round(): Promise<void> {
    const waiting = this.#waiting
    this.#waiting = []
    try {
      await this.#owner.assertOwn()
    } catch (error) {
      for (const { reject } of waiting) reject(error)
      return
    }
    await this.#settleDoubts(new Set(waiting.flatMap(({ unit }) => unit.map(({ key }) => key))))
    await inParallel(this.#decide(waiting), (writing) => this.#write(writing))
  }

  /** Refuses what cannot be, puts off what meets another unit of the round, and answers the rest. */
  #decide(waiting: readonly Waiting[]): Writing[] {
    const round: Writing[] = []
    const written = new Set<string>()
    const checked = new Set<string>()
    const later: Waiting[] = []
    for (const one of waiting) {
      const { unit, resolve, reject } = one
      const put = unit.find(isWrite)
      const doubtful = unit.find(({ key }) => this.#doubts.has(key))
      if (doubtful !== undefined) reject(inDoubt(doubtful.key))
      // A check holds until its own unit is durable, so its record is not written beside it.
      else if (unit.some(({ key }) => written.has(key)) || (put && checked.has(put.key)))
        later.push(one)
      else if (!this.#index.holds(unit)) resolve(null)
      else if (put === undefined) resolve('')
      else {
        const version = this.#versions.next()
        round.push({ ...one, version, plan: this.#slots.plan(put, version, this.#index) })
        written.add(put.key)
        for (const { key } of unit) checked.add(key)
      }
    }
    this.#waiting = [...later, ...this.#waiting]
    return round
  }

  async #write({ version, plan, resolve, reject }: Writing): Promise<void> {
    const { change } = plan
    try {
      await this.#slots.write(plan)
    } catch (error) {
      const doubt = { change, isUndoing: false }
      this.#doubts.set(change.key, doubt)
      await this.#settle(doubt)
      reject(error)
      return
    }
    this.#keep(change)
    resolve(version)
  }

  #keep(change: Change): void {
    this.#index.set(change.key, change.after)
    this.#slots.keep(change)
  }

  async #settleDoubts(keys: ReadonlySet<string>): Promise<void> {
    const doubts = [...this.#doubts.values()]
    const wanted = doubts.filter(({ change }, i) => i < OLD_DOUBTS || keys.has(change.key))
    await inParallel(wanted, (doubt) => this.#settle(doubt))
  }

  async #settle(doubt: Doubt): Promise<void> {
    const { change } = doubt
    try {
      if (!doubt.isUndoing && (await this.#slots.isDurable(change))) this.#keep(change)
      else {
        doubt.isUndoing = true
        await this.#slots.undo(change)
      }
    } catch {
      // The doubt stays, and the next unit that names the record tries again.
      return
    }
    this.#doubts.delete(change.key)
  }
}

function inDoubt(key: string): WherryError {
  return new WherryError(
    'store-unavailable',
    `Cannot commit: an earlier write of "${key}" failed, and so does undoing it, expected a storage that answers`,
  )
}
