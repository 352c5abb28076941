/** Who in this process wants to hear of which job. */
export class Watchers {
  readonly #hearers = new Map<string, Set<() => void>>()

  add(id: string, hear: () => void): () => void {
    const hearers = this.#hearers.get(id) ?? new Set()
    this.#hearers.set(id, hearers.add(hear))
    return () => {
      if (hearers.delete(hear) && hearers.size === 0) this.#hearers.delete(id)
    }
  }

  tell(id: string): void {
    for (const hear of [...(this.#hearers.get(id) ?? [])]) hear()
  }
}
