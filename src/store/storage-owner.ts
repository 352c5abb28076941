import { type Clock, type Random, randomToken } from '../clock.ts'
import { WherryError } from '../errors.ts'
import type { StorageItems } from './storage-items.ts'

/** How long a look at the owner's item is good for, in ms. */
const LOOK_MS = 1_000
const OWNER = 'owner'

/**
 * Notices, as well as can be without compare-and-set, that another store has opened the same
 * storage: the last one to open it owns it, and the one before stops. Two that write on would each
 * undo what the other does.
 */
export class StorageOwner {
  readonly #items: StorageItems
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #token: string
  #lookedAt = -Infinity
  #lost = false

  constructor(items: StorageItems, clock: Pick<Clock, 'monotonic'>, random: Random) {
    this.#items = items
    this.#clock = clock
    this.#token = JSON.stringify(randomToken(random, 12))
  }

  /** Takes the storage, and finds out whether it keeps what it is given. */
  async take(): Promise<void> {
    await this.#items.write(OWNER, this.#token)
    if (await this.#isOwn()) return
    throw new WherryError(
      'store-unavailable',
      'Cannot use this storage: it does not give back what was just written, expected one that is neither read-only nor stale',
    )
  }

  /** @throws WherryError `store-unavailable` once another store was seen to own the storage. */
  async assertOwn(): Promise<void> {
    const now = this.#clock.monotonic()
    if (now - this.#lookedAt >= LOOK_MS) {
      this.#lost ||= !(await this.#isOwn())
      this.#lookedAt = now
    }
    this.assertNotLost()
  }

  assertNotLost(): void {
    if (!this.#lost) return
    throw new WherryError(
      'store-unavailable',
      'Cannot use this storage: another store has opened it since, expected one store in one process (sqlite: and redis: are for several)',
    )
  }

  async #isOwn(): Promise<boolean> {
    const item = await this.#items.read(OWNER)
    return typeof item === 'object' && item.json === this.#token
  }
}
