import type { Hint } from './store.ts'

type Hear = (at: number) => void

/** Wake-ups between the users of one store object in one process. */
export class WakeBoard {
  readonly #hearers = new Map<string, Set<Hear>>()

  subscribe(channel: string, hear: Hear): () => void {
    const hearers = this.#hearers.get(channel) ?? new Set()
    this.#hearers.set(channel, hearers.add(hear))
    return () => {
      if (hearers.delete(hear) && hearers.size === 0) this.#hearers.delete(channel)
    }
  }

  publish(hint: Hint | undefined): void {
    for (const { channel, at } of hint?.wake ?? []) this.tell(channel, at)
  }

  tell(channel: string, at: number): void {
    const hearers = this.#hearers.get(channel)
    if (hearers !== undefined) for (const hear of [...hearers]) hear(at)
  }
}
