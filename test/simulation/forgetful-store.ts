import { type Clock, neverFalling, type Random } from '../../src/clock.ts'
import { assertCommit, isWrite } from '../../src/store/commit-rules.ts'
import { NO_OPERATIONS } from '../../src/store/operations.ts'
import { RecordIndex } from '../../src/store/record-index.ts'
import { type Row, withParts } from '../../src/store/row.ts'
import type { Answer, Limits, Put, Query, Store } from '../../src/store/store.ts'
import { VersionSource } from '../../src/store/version-source.ts'

const LIMITS: Limits = {
  unitPuts: 1_000,
  batchUnits: 1_000,
  keyBytes: 512,
  partBytes: 2 ** 20,
  unitBytes: 2 ** 24,
}

/** A record before a unit changed it. */
interface Change {
  readonly key: string
  readonly before: Row | null
}

/**
 * A store whose primary may fail over to a replica that has not heard of the last commits, as Redis
 * does: what it had answered is no longer so.
 */
export class ForgetfulStore implements Store {
  readonly name = 'forgetful'
  readonly guarantee = 'atomic'
  readonly clock = 'store'
  readonly limits: Limits = LIMITS
  readonly #index = new RecordIndex()
  readonly #versions: VersionSource
  readonly #now: () => number
  #journal: (readonly Change[])[] = []

  constructor(clock: Pick<Clock, 'now' | 'monotonic'>, random: Random) {
    this.#now = neverFalling(clock)
    this.#versions = new VersionSource(random)
  }

  /** Forgets the last commits, that many of them. */
  failOver(commits: number): void {
    const forgotten = commits === 0 ? [] : this.#journal.splice(-commits)
    for (const changes of forgotten.reverse()) {
      for (const { key, before } of changes) this.#index.set(key, before)
    }
  }

  async read({ get = [], parts = [], ranges = [], counts = [] }: Query): Promise<Answer> {
    const shown = (row: Row | null) => row && withParts(row, parts)
    return {
      now: this.#now(),
      got: get.map((key) => shown(this.#index.get(key))),
      ranges: ranges.map((range) => this.#index.range(range).map((row) => withParts(row, []))),
      counts: counts.map((place) => this.#index.count(place)),
    }
  }

  async commit(units: readonly (readonly Put[])[]): Promise<(string | null)[]> {
    assertCommit(units, this.limits)
    return units.map((unit) => {
      if (!this.#index.holds(unit)) return null
      const version = this.#versions.next()
      const writes = unit.filter(isWrite)
      this.#journal.push(writes.map(({ key }) => ({ key, before: this.#index.get(key) })))
      for (const put of writes) this.#index.set(put.key, this.#index.next(put, version))
      return version
    })
  }

  operations(): typeof NO_OPERATIONS {
    return NO_OPERATIONS
  }

  async close(): Promise<void> {}
}
