import type { Clock } from '../../../src/clock.ts'
import type { RedisClient } from './client.ts'

/** After the first subscription that failed; twice as long after each further one. */
const RETRY_MS = 100

/** The connection that hears wake-ups: one that subscribes can do nothing else. */
export class Hearing {
  readonly #open: () => Promise<RedisClient>
  readonly #clock: Clock
  readonly #timeoutMs: number
  readonly #hearers = new Map<string, Set<(message: string) => void>>()
  #client: RedisClient | null = null
  #connected: Promise<void> | null = null
  #timer: unknown
  #retry: unknown
  /** Subscriptions that failed since the last that did not. */
  #failures = 0
  #closed = false

  constructor(open: () => Promise<RedisClient>, clock: Clock, timeoutMs: number) {
    this.#open = open
    this.#clock = clock
    this.#timeoutMs = timeoutMs
  }

  add(channel: string, hear: (message: string) => void): () => void {
    const hearers = this.#hearers.get(channel) ?? new Set()
    this.#hearers.set(channel, hearers.add(hear))
    if (hearers.size === 1) void this.#subscribe(channel)
    return () => {
      if (!hearers.delete(hear) || hearers.size > 0) return
      this.#hearers.delete(channel)
      this.#client?.unsubscribe(channel).catch(() => {})
    }
  }

  close(): void {
    this.#closed = true
    this.#clock.clearTimeout(this.#timer)
    this.#clock.clearTimeout(this.#retry)
    this.#client?.disconnect()
  }

  /** How often it is asked whether it still hears. */
  get #checkMs(): number {
    return 2 * this.#timeoutMs
  }

  /** A subscription that fails costs latency: whoever waits looks from time to time anyway. */
  async #subscribe(channel: string): Promise<void> {
    try {
      const client = await this.#open()
      if (this.#closed) return
      this.#client ??= this.#listen(client.duplicate())
      await this.#ready(this.#client)
      if (!this.#closed && this.#hearers.has(channel)) await this.#client.subscribe(channel)
      this.#failures = 0
    } catch {
      this.#subscribeAgain()
    }
  }

  /** A cluster refuses for a moment, while it chooses whom to listen to. */
  #subscribeAgain(): void {
    if (this.#closed || this.#retry !== undefined) return
    const ms = Math.min(RETRY_MS * 2 ** this.#failures++, this.#checkMs)
    this.#retry = this.#clock.setTimeout(() => {
      this.#retry = undefined
      for (const channel of this.#hearers.keys()) void this.#subscribe(channel)
    }, ms)
  }

  /**
   * Waits for a connection that is being made: a subscription goes out before the client has asked
   * whether the server is ready, and then it may not ask any more, and begins anew.
   */
  async #ready(client: RedisClient): Promise<void> {
    if (client.status === 'ready') return
    if (client.status === 'wait') client.connect().catch(() => {})
    // One wait for all of them, or each would listen.
    this.#connected ??= new Promise<void>((resolve) => {
      const ready = (): void => {
        client.off('ready', ready)
        this.#connected = null
        resolve()
      }
      client.on('ready', ready)
    })
    await this.#connected
  }

  #listen(client: RedisClient): RedisClient {
    client.on('error', () => {})
    client.on('message', (channel: string, message: string) => {
      for (const hear of [...(this.#hearers.get(channel) ?? [])]) hear(message)
    })
    this.#check(client)
    return client
  }

  /** Nothing is ever sent on this connection, so nobody would notice that it is gone. */
  #check(client: RedisClient): void {
    this.#timer = this.#clock.setTimeout(async () => {
      const silent = this.#clock.setTimeout(() => client.disconnect(true), this.#timeoutMs)
      await client.ping().catch(() => {})
      this.#clock.clearTimeout(silent)
      if (!this.#closed) this.#check(client)
    }, this.#checkMs)
  }
}
