import { type Random, randomToken } from '../clock.ts'

/** Issues version tokens: a random prefix of its own, then a counter. */
export class VersionSource {
  readonly #random: Random
  #prefix: string | undefined
  #issued = 0

  constructor(random: Random) {
    this.#random = random
  }

  next(): string {
    // Drawn at the first use: a module Worker may not ask for randomness while it loads.
    this.#prefix ??= randomToken(this.#random, 12)
    return `${this.#prefix}.${(this.#issued++).toString(36)}`
  }
}
