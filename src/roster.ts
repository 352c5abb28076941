/** What a roster can hold: it knows its own place there. */
export interface Rostered {
  rosterIndex: number
}

/**
 * A few things that come and go often, in no order. A Set would do, were it not for its tables: it
 * begins a new one every few changes, and each old one keeps the next alive, with all that was in
 * it, until a full garbage collection.
 */
export class Roster<T extends Rostered> {
  readonly #items: T[] = []

  get size(): number {
    return this.#items.length
  }

  /** As they are now. */
  all(): T[] {
    return this.#items.slice()
  }

  has(item: T): boolean {
    return this.#items[item.rosterIndex] === item
  }

  add(item: T): void {
    item.rosterIndex = this.#items.push(item) - 1
  }

  delete(item: T): void {
    if (!this.has(item)) return
    const last = this.#items.pop() as T
    if (last === item) return
    this.#items[item.rosterIndex] = last
    last.rosterIndex = item.rosterIndex
  }
}
