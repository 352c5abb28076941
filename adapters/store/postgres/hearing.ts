import type { Clock } from '../../../src/clock.ts'

/** What of a `pg.Client` is used. */
interface Client {
  connect(): Promise<unknown>
  query(text: string): Promise<unknown>
  end(): Promise<void>
  on(event: string, hear: (...args: never[]) => void): unknown
}

/** How long after it was lost the connection is made again, in ms. */
const AGAIN_MS = 500
/** How often it is asked whether it still hears: nothing else is sent on it. */
const CHECK_MS = 10_000

/** The connection that hears wake-ups, made at the first subscription and again when it is lost. */
export class Hearing {
  readonly #options: object
  readonly #channel: string
  readonly #clock: Clock
  readonly #hearers = new Map<string, Set<(at: number) => void>>()
  #client: Client | null = null
  #timer: unknown
  #begun = false
  #wasLost = false
  #closed = false

  constructor(options: object, channel: string, clock: Clock) {
    this.#options = options
    this.#channel = channel
    this.#clock = clock
  }

  add(channel: string, hear: (at: number) => void): () => void {
    const hearers = this.#hearers.get(channel) ?? new Set()
    this.#hearers.set(channel, hearers.add(hear))
    if (!this.#begun) void this.#connect()
    this.#begun = true
    return () => {
      if (hearers.delete(hear) && hearers.size === 0) this.#hearers.delete(channel)
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#clock.clearTimeout(this.#timer)
    await this.#drop()
  }

  async #connect(): Promise<void> {
    try {
      const { Client } = await import('pg')
      if (this.#closed) return
      const client: Client = new Client(this.#options)
      this.#client = client
      const lost = (): void => {
        if (this.#client === client) this.#lose()
      }
      client.on('error', lost)
      client.on('end', lost)
      client.on('notification', ({ payload = '' }: { payload?: string }) => this.#hear(payload))
      await client.connect()
      await client.query(`listen ${this.#channel}`)
      this.#check(client, lost)
      // Nobody knows what was not heard.
      if (this.#wasLost) for (const channel of this.#hearers.keys()) this.#tell(channel, 0)
    } catch {
      this.#lose()
    }
  }

  /** While there is no connection, whoever waits looks from time to time anyway. */
  #lose(): void {
    this.#wasLost = true
    // A connection of which half is gone may take long to end.
    void this.#drop()
    if (this.#closed) return
    this.#clock.clearTimeout(this.#timer)
    this.#timer = this.#clock.setTimeout(() => void this.#connect(), AGAIN_MS)
  }

  async #drop(): Promise<void> {
    const client = this.#client
    this.#client = null
    await client?.end().catch(() => {})
  }

  #check(client: Client, lost: () => void): void {
    if (this.#client !== client) return
    this.#timer = this.#clock.setTimeout(() => {
      // Its own time limit makes this fail on a connection that is only half there.
      client.query('select 1').then(() => this.#check(client, lost), lost)
    }, CHECK_MS)
  }

  #hear(payload: string): void {
    const [at = '', channel = ''] = payload.split(/ (.*)/s)
    this.#tell(channel, Number(at))
  }

  #tell(channel: string, at: number): void {
    for (const hear of [...(this.#hearers.get(channel) ?? [])]) hear(at)
  }
}
