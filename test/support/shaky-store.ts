import type { Limits, Store } from '../../src/main.ts'

/** A view of a store with smaller units, whose calls can be made to fail. */
export class Shaky {
  readonly store: Store
  calls = 0
  /** The call that fails, counted from one. */
  failing = 0
  /** Whether it is done all the same. */
  applied = false
  /** Whether the process that made it makes no more. */
  dies = false

  constructor(store: Store, limits: Partial<Limits> = {}) {
    const { name, guarantee, clock } = store
    this.store = {
      name,
      guarantee,
      clock,
      limits: { ...store.limits, ...limits },
      read: (query) => store.read(query),
      commit: (units, hint) => this.#call(() => store.commit(units, hint)),
      operations: () => store.operations(),
      close: () => store.close(),
    }
  }

  async #call<T>(apply: () => Promise<T>): Promise<T> {
    this.calls++
    if (this.calls < this.failing || this.failing === 0) return apply()
    if (this.calls === this.failing && this.applied) await apply()
    if (this.dies) return new Promise<never>(() => {})
    if (this.calls > this.failing) return apply()
    throw new Error('The connection was lost')
  }
}

/** What units may hold, and what a flush of a dozen jobs is then. */
export const SIZES: [string, Partial<Limits>][] = [
  ['units that hold a flush', {}],
  ['units of five records', { unitPuts: 5 }],
  ['units of one record', { unitPuts: 1 }],
]
