/** How often each job has run. */
export class Ledger {
  readonly #runs: Uint8Array
  #missing: number
  readonly #all: PromiseWithResolvers<void> = Promise.withResolvers()

  constructor(jobs: number) {
    this.#runs = new Uint8Array(jobs)
    this.#missing = jobs
    if (jobs === 0) this.#all.resolve()
  }

  /** A job has run. */
  note(index: number): void {
    const runs = this.#runs[index]
    if (runs === undefined) throw new Error(`Job ${index} has run, and was never added`)
    this.#runs[index] = runs + 1
    if (runs === 0 && --this.#missing === 0) this.#all.resolve()
  }

  /** Jobs that have not run. */
  get missing(): number {
    return this.#missing
  }

  /** Resolves at the moment at which each job has run. */
  get all(): Promise<void> {
    return this.#all.promise
  }

  /** @throws when a job has not run, or has run twice. */
  assertExact(): void {
    const twice = this.#runs.reduce((count, runs) => count + (runs > 1 ? 1 : 0), 0)
    if (this.#missing === 0 && twice === 0) return
    const total = this.#runs.length
    throw new Error(`Of ${total} jobs ${this.#missing} never ran and ${twice} ran more than once`)
  }
}
