import { type Clock, sleep } from './clock.ts'
import type { Logger } from './logger.ts'

export interface TickerOptions {
  readonly clock: Clock
  /** The clock that dues are on, in ms since 1970. */
  readonly now: () => number
  readonly logger: Logger
  /** What a tick does, for the log. */
  readonly what: string
  /** Does what is due; answers when there is more, null: nothing is known to come. */
  readonly act: () => Promise<number | null>
  /** The longest sleep, in ms: others may have changed what is due. */
  readonly sleepMsMax: number
}

/** After a tick that failed. */
const BROKEN_MS = 1_000

/** Acts whenever something is due, for as long as a process lives. */
export class Ticker {
  readonly #options: TickerOptions
  #loop: Promise<void> | null = null
  #ticking: Promise<unknown> = Promise.resolve()
  #isOn = false
  #dueAt = Infinity
  #wake: () => void = () => {}

  constructor(options: TickerOptions) {
    this.#options = options
  }

  start(): void {
    this.#isOn = true
    this.#loop ??= this.#work().finally(() => {
      this.#loop = null
      // Started again while the loop was ending.
      if (this.#isOn) this.start()
    })
  }

  /** Waits for the tick under way. */
  async stop(): Promise<void> {
    this.#isOn = false
    this.#wake()
    // Not for the loop, which goes on when it is started again meanwhile.
    await this.#ticking
  }

  /** Something is due then, which the last tick did not know. */
  wakeAt(at: number): void {
    if (at >= this.#dueAt) return
    this.#dueAt = at
    this.#wake()
  }

  /** Acts now. A failure is logged, and tried again soon. */
  async tick(): Promise<number | null> {
    const { act, logger, now, what } = this.#options
    try {
      return await act()
    } catch (error) {
      logger.error(`Cannot ${what}; trying again`, { error })
      return now() + BROKEN_MS
    }
  }

  async #work(): Promise<void> {
    const { clock, now, sleepMsMax } = this.#options
    while (this.#isOn) {
      this.#dueAt = Infinity
      const ticking = this.tick()
      this.#ticking = ticking
      const dueAt = (await ticking) ?? Infinity
      this.#dueAt = Math.min(this.#dueAt, dueAt, now() + sleepMsMax)
      while (this.#isOn && now() < this.#dueAt) {
        const early = new AbortController()
        this.#wake = () => early.abort()
        await sleep(clock, Math.ceil(this.#dueAt - now()), early.signal)
      }
    }
  }
}
