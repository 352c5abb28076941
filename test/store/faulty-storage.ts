import type { Random } from '../../src/clock.ts'
import { randomBelow } from '../../src/testing/main.ts'

/**
 * What may go wrong with a call that changes a storage.
 *
 * - `fails`: it rejects, and nothing has changed.
 * - `loses-reply`: it rejects, and has changed what it should.
 * - `tears`: it rejects, and has written only the beginning of its text.
 * - `comes-late`: it rejects, and changes what it should some changes later.
 * - `is-quiet`: a removal resolves, and nothing has changed; a write fails.
 */
export type Fault = 'fails' | 'loses-reply' | 'tears' | 'comes-late' | 'is-quiet'

export const FAULTS: readonly Fault[] = ['fails', 'loses-reply', 'tears', 'comes-late', 'is-quiet']

/** When a process dies: within which change, and how much of it is done by then. */
export interface Death {
  readonly change: number
  /** The share of the text that is written, after what was there is gone; null: nothing is done. */
  readonly share: number | null
}

/** Changes that one may be late by. */
const LATE_MAX = 5

interface Change {
  apply(): void
  tear(share: number): void
  readonly isRemoval: boolean
}

/** A storage in memory whose calls overtake each other, and go wrong when they are told to. */
export class FaultyStorage {
  readonly items: Map<string, string>
  /** Changes so far. */
  changes = 0
  /** What goes wrong with the change of that number. */
  faultOf: (change: number) => Fault | undefined = () => undefined
  /** Whether a read fails. */
  isBlind: () => boolean = () => false
  death: Death | null = null
  readonly #random: Random
  #late: { readonly before: number; apply(): void }[] = []

  constructor(random: Random, items: ReadonlyMap<string, string> = new Map()) {
    this.#random = random
    this.items = new Map(items)
  }

  get isDead(): boolean {
    return this.death !== null && this.changes > this.death.change
  }

  /** From now on nothing goes wrong any more, and what was late is there. */
  heal(): void {
    this.faultOf = () => undefined
    this.isBlind = () => false
    this.#arrive(Infinity)
  }

  async getItem(key: string): Promise<string | null> {
    await this.#turns()
    if (this.isBlind()) throw new Error('The storage does not answer')
    return this.items.get(key) ?? null
  }

  setItem(key: string, value: string): Promise<void> {
    return this.#change({
      apply: () => this.items.set(key, value),
      tear: (share) => this.items.set(key, value.slice(0, Math.floor(value.length * share))),
      isRemoval: false,
    })
  }

  removeItem(key: string): Promise<void> {
    return this.#change({
      apply: () => this.items.delete(key),
      tear: (share) => share === 1 && this.items.delete(key),
      isRemoval: true,
    })
  }

  async getKeys(): Promise<string[]> {
    await this.#turns()
    return [...this.items.keys()]
  }

  async #change({ apply, tear, isRemoval }: Change): Promise<void> {
    await this.#turns()
    const change = this.changes++
    this.#arrive(change)
    if (change === this.death?.change) {
      if (this.death.share !== null) tear(this.death.share)
      throw new Error('The process is dead')
    }
    const fault = this.faultOf(change)
    if (fault === undefined) return apply()
    if (fault === 'is-quiet' && isRemoval) return
    if (fault === 'loses-reply') apply()
    if (fault === 'tears') tear(0.5)
    if (fault === 'comes-late') {
      this.#late.push({ before: change + 1 + randomBelow(this.#random, LATE_MAX), apply })
    }
    throw new Error(`The change ${change} ${fault}`)
  }

  #arrive(change: number): void {
    for (const { before, apply } of this.#late) if (before <= change) apply()
    this.#late = this.#late.filter(({ before }) => before > change)
  }

  async #turns(): Promise<void> {
    for (let turns = randomBelow(this.#random, 4); turns > 0; turns--) await null
    if (this.isDead) throw new Error('The process is dead')
  }
}
