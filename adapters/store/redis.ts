/**
 * Jobs in Redis or Valkey: `redis://…`. Guarantee: `atomic`, for one primary. Every commit is one
 * script; a wake-up is published in the same.
 *
 * @module
 */
import process from 'node:process'
import type { Clock, Random } from '../../src/clock.ts'
import { messageOf } from '../../src/errors.ts'
import { refusal } from '../../src/refusal.ts'
import { Roster, type Rostered } from '../../src/roster.ts'
import type { Store } from '../../src/store/store.ts'
import { systemClock, systemRandom } from '../../src/system.ts'
import { createLuaStore, type LuaServer } from './lua/lua-store.ts'
import { digestOf } from './lua/script-digest.ts'
import type { RedisClient } from './redis/client.ts'
import { connect } from './redis/connect.ts'
import { Hearing } from './redis/hearing.ts'

export type { RedisClient } from './redis/client.ts'

export interface RedisStoreOptions {
  /** The hash tag that all keys begin with. Default `wherry`. */
  readonly base?: string | undefined
  /** How long an answer may take before its fate counts as unknown, in ms. Default 5,000. */
  readonly timeoutMs?: number | undefined
  readonly clock?: Clock | undefined
  readonly random?: Random | undefined
}

/** Arguments of a script that is done at once. */
const SMALL_ARGS = 50
/** What no further try will change. */
const REFUSED = /WRONGPASS|NOAUTH|invalid password|invalid username/

/**
 * Keeps records in Redis. Given a URL it connects at the first use, with ioredis; a client that is
 * handed in is used as it is, and stays open when the store closes.
 *
 * @example
 * ```ts
 * const jobs = new JobQueueService({ storage: createRedisStore('redis://localhost:6379') })
 * ```
 */
export function createRedisStore(
  given: string | RedisClient,
  options: RedisStoreOptions = {},
): Store {
  const { base = 'wherry', random = systemRandom, clock = systemClock, timeoutMs = 5_000 } = options
  if (base === '' || /[{}]/.test(base)) {
    throw refusal('open a store', `base is "${base}"`, 'a text without braces')
  }
  const server = new RedisServer(given, clock, timeoutMs)
  return createLuaStore(server, { name: 'redis', base, random })
}

/** A call that is to be told when its connection is gone. */
interface Waiting extends Rostered {
  readonly reject: (error: Error) => void
  /** On the monotonic clock. */
  readonly lateAt: number
}

class RedisServer implements LuaServer {
  readonly #given: string | RedisClient
  readonly #clock: Clock
  readonly #timeoutMs: number
  readonly #inFlight = new Roster<Waiting>()
  #client: RedisClient | null = null
  #connected: Promise<void> | null = null
  #hearing: Hearing | null = null
  #watchdog: unknown
  /** Whether the server is known not to drop keys of its own accord. */
  #keepsKeys = false
  /** Why the last connection could not be made. It names no password. */
  #lastError = ''
  #closed = false

  constructor(given: string | RedisClient, clock: Clock, timeoutMs: number) {
    this.#given = given
    this.#clock = clock
    this.#timeoutMs = timeoutMs
  }

  async run(script: string, key: string, args: readonly string[]): Promise<unknown> {
    const client = this.#client ?? (await this.#open())
    await this.#ready(client)
    this.#keepsKeys ||= await this.#refuseEviction(client)
    try {
      return await this.#answer(client, 'EVALSHA', [await digestOf(script), '1', key, ...args])
    } catch (error) {
      // The server has restarted, or forgot its scripts: nothing was done.
      if (!String(error).includes('NOSCRIPT')) throw error
      return this.#answer(client, 'EVAL', [script, '1', key, ...args])
    }
  }

  subscribe(channel: string, hear: (message: string) => void): () => void {
    this.#hearing ??= new Hearing(() => this.#open(), this.#clock, this.#timeoutMs)
    return this.#hearing.add(channel, hear)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#hearing?.close()
    this.#clock.clearTimeout(this.#watchdog)
    this.#client?.off('error', this.#noteError)
    this.#client?.off('close', this.#rejectAll)
    this.#rejectAll()
    if (this.#client !== this.#given) this.#client?.disconnect()
    this.#client = null
  }

  /** What was under way on a connection that closed may or may not have been done. */
  readonly #rejectAll = (): void => {
    // A connection that is still being made is waited for.
    const waits = this.#connected !== null && !this.#closed && !REFUSED.test(this.#lastError)
    if (waits) return
    const why = this.#lastError || 'The connection was closed'
    for (const { reject } of this.#inFlight.all()) reject(new Error(why))
  }

  readonly #noteError = (error: Error): void => {
    this.#lastError = error.message
    if (REFUSED.test(error.message)) this.#rejectAll()
  }

  /** The client, connected or on its way. */
  async #open(): Promise<RedisClient> {
    const client = typeof this.#given === 'string' ? await connect(this.#given) : this.#given
    if (this.#closed) throw new Error('The store is closed')
    // Another call may have been quicker; this client has not connected yet.
    if (this.#client !== null) return this.#client
    this.#client = client
    client.on('error', this.#noteError)
    client.on('close', this.#rejectAll)
    return client
  }

  /** A server that may evict any key would lose jobs without a word. */
  async #refuseEviction(client: RedisClient): Promise<true> {
    // Who may not ask is not kept from working.
    const info = String(await this.#answer(client, 'INFO', ['memory']).catch(() => ''))
    const maxMemory = Number(/^maxmemory:(\d+)/m.exec(info)?.[1] ?? 0)
    const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1] ?? ''
    if (maxMemory === 0 || !policy.startsWith('allkeys')) return true
    const is = `its maxmemory-policy is ${policy}, so it drops jobs when it is full`
    throw refusal('use this Redis', is, 'noeviction', 'unsupported-by-store')
  }

  /** Waits for a connection that is being made; a command that waits for it could be done much later. */
  async #ready(client: RedisClient): Promise<void> {
    if (client.status === 'ready') return
    if (client.status === 'wait') client.connect().catch(() => {})
    // One wait for all of them, or each would listen.
    this.#connected ??= this.#inTime<void>((resolve) => {
      client.on('ready', resolve)
      return () => client.off('ready', resolve)
    }).finally(() => {
      this.#connected = null
    })
    await this.#connected
  }

  #answer(client: RedisClient, command: string, args: readonly string[]): Promise<unknown> {
    return this.#inTime((resolve, reject) => {
      cork(client, args)
      // The client's own error holds the arguments, which are the user's data.
      client.call(command, args).then(resolve, (error) => reject(new Error(messageOf(error))))
      return () => {}
    })
  }

  /** Half of a connection may be gone without a word, so nothing is waited for without a bound. */
  #inTime<T>(
    begin: (resolve: (value: T) => void, reject: (error: Error) => void) => () => unknown,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const lateAt = this.#clock.monotonic() + this.#timeoutMs
      const waiting: Waiting = {
        reject: (error) => finish(() => reject(error)),
        lateAt,
        rosterIndex: -1,
      }
      const finish = (act: () => void): void => {
        this.#inFlight.delete(waiting)
        end()
        act()
      }
      this.#inFlight.add(waiting)
      this.#watch(this.#timeoutMs)
      const end = begin((value) => finish(() => resolve(value)), waiting.reject)
    })
  }

  /** One timer for all that is waited for: those of Node, begun and ended for each, cost as much again. */
  #watch(ms: number): void {
    this.#watchdog ??= this.#clock.setTimeout(() => {
      this.#watchdog = undefined
      const now = this.#clock.monotonic()
      const late = this.#inFlight.all().filter(({ lateAt }) => lateAt <= now)
      if (late.length > 0 && typeof this.#given === 'string') this.#client?.disconnect(true)
      const why = this.#lastError === '' ? '' : `: ${this.#lastError}`
      for (const { reject } of late) reject(new Error(`No answer in ${this.#timeoutMs} ms${why}`))
      const next = Math.min(...this.#inFlight.all().map(({ lateAt }) => lateAt))
      if (next < Infinity) this.#watch(Math.max(1, Math.ceil(next - now)))
    }, ms)
  }
}

/**
 * What is sent in one moment leaves in one write, for a write costs more than what is written. What
 * keeps the server busy leaves on its own: the answer to what went before comes meanwhile.
 */
function cork({ stream }: RedisClient, { length }: readonly string[]): void {
  if (stream === undefined) return
  if (length > SMALL_ARGS) {
    if (stream.writableCorked > 0) stream.uncork()
    return
  }
  if (stream.writableCorked > 0) return
  stream.cork()
  process.nextTick(() => {
    if (stream.writableCorked > 0) stream.uncork()
  })
}
