import { type Clock, type Random, randomToken, sleep } from '../../../src/clock.ts'
import { messageOf, WherryError } from '../../../src/errors.ts'
import { addOperations, NO_OPERATIONS } from '../../../src/store/operations.ts'
import { inParallel } from '../../../src/store/storage-items.ts'
import type { Operations } from '../../../src/store/store.ts'
import type { AtomicWrite } from './atomic-write.ts'
import { checksMaxOf, type DenoKv, type DenoKvKey, isFile, openDatabase } from './database.ts'
import { keyAfter, type Layout, type OwnEntry } from './layout.ts'

export interface AccessOptions {
  readonly timeoutMs: number
  readonly clock: Clock
  readonly random: Random
}

export interface Span {
  readonly start: DenoKvKey
  /** Exclusive. */
  readonly end: DenoKvKey
}

export interface ListOptions {
  readonly limit: number
  readonly reverse: boolean
}

/** Deno reads so many entries at once, and lists so many. */
const READ_MAX = 10
const LIST_MAX = 1_000
/** What a lane says is forgotten after a day; it is asked at once or never. */
const LANE_MS = 86_400_000

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** The way to a database: opened late, never waited for without a bound, and sure of what it says. */
export class Access {
  /** Checks that one operation may have. */
  readonly checksMax: number
  readonly #given: string | DenoKv
  readonly #layout: Layout
  readonly #options: AccessOptions
  /** A file says what it did. On the way to a server a commit is sent again when its answer is lost. */
  readonly #mayRepeat: boolean
  #lanes: Lanes | null = null
  #kv: DenoKv | null = null
  #opening: Promise<DenoKv> | null = null
  #closed = false
  #operations = NO_OPERATIONS

  constructor(given: string | DenoKv, layout: Layout, options: AccessOptions) {
    this.checksMax = checksMaxOf(given)
    this.#given = given
    this.#mayRepeat = typeof given !== 'string' || !isFile(given)
    this.#layout = layout
    this.#options = options
  }

  get operations(): Operations {
    return this.#operations
  }

  /** The entries of the keys; of a key without one both value and versionstamp are null. */
  async getMany(keys: readonly DenoKvKey[]): Promise<OwnEntry[]> {
    const kv = await this.#open()
    this.#count({ reads: keys.length })
    const tens: DenoKvKey[][] = []
    for (let i = 0; i < keys.length; i += READ_MAX) tens.push(keys.slice(i, i + READ_MAX))
    const found = await inParallel(tens, (ten) => this.#inTime(kv.getMany(ten)))
    return found.flat() as OwnEntry[]
  }

  async list(span: Span, { limit, reverse }: ListOptions): Promise<OwnEntry[]> {
    const kv = await this.#open()
    const entries: OwnEntry[] = []
    for (let { start, end } = span; entries.length < limit; ) {
      this.#count({ lists: 1 })
      const size = Math.min(limit - entries.length, LIST_MAX)
      const options = { limit: size, batchSize: size, reverse }
      const page = await this.#inTime(Array.fromAsync(kv.list({ start, end }, options)))
      entries.push(...(page as OwnEntry[]))
      const last = entries.at(-1)
      if (last === undefined || page.length < size) break
      if (reverse) end = last.key
      else start = keyAfter(last.key)
    }
    return entries
  }

  /** Commits, and answers the new versionstamp; null: a check failed and surely nothing was written. */
  async commit(write: AtomicWrite): Promise<string | null> {
    const kv = await this.#open()
    this.#count(write.operations)
    if (!this.#mayRepeat || !write.isChecked) return this.#unlocked(kv, write)
    this.#lanes ??= new Lanes(randomToken(this.#options.random, 12))
    const { lane, token } = this.#lanes.take()
    const key = this.#layout.lane(this.#lanes.owner, lane)
    write.set(key, encoder.encode(token), { expireIn: LANE_MS })
    const versionstamp = (await this.#unlocked(kv, write)) ?? (await this.#before(key, token))
    // A lane whose answer never came is not used again: the commit may be done yet.
    this.#lanes.free(lane)
    return versionstamp
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    // What is being opened is closed as soon as it is open, and not waited for longer than any call.
    const closing = this.#opening?.then((kv) => kv.close())
    if (closing) await this.#inTime(closing).catch(() => {})
  }

  /** The versionstamp of a commit that was done although the try that was answered failed. */
  async #before(lane: DenoKvKey, token: string): Promise<string | null> {
    const [entry] = await this.getMany([lane])
    const isOurs = entry?.value instanceof Uint8Array && decoder.decode(entry.value) === token
    return isOurs ? entry.versionstamp : null
  }

  /** Tries again while another process has the file locked, when nothing was done. */
  async #unlocked(kv: DenoKv, write: AtomicWrite): Promise<string | null> {
    const { clock, random, timeoutMs } = this.#options
    const deadline = clock.monotonic() + timeoutMs
    for (let attempt = 1; ; attempt++) {
      try {
        const { ok, versionstamp = '' } = await this.#inTime(write.commitTo(kv))
        return ok ? versionstamp : null
      } catch (error) {
        if (!isLock(error)) throw error
        if (clock.monotonic() >= deadline) {
          const message = `Cannot lock the database: another process held it for ${timeoutMs} ms`
          throw new WherryError('store-unavailable', message, { cause: error })
        }
      }
      // Jitter keeps the processes apart.
      await sleep(clock, 1 + random() * Math.min(25, 4 * attempt))
    }
  }

  async #open(): Promise<DenoKv> {
    if (this.#closed) throw new Error('The store is closed')
    if (typeof this.#given !== 'string') return this.#given
    if (this.#kv !== null) return this.#kv
    if (this.#opening === null) {
      this.#opening = openDatabase(this.#given)
      // It may be there the next time.
      this.#opening.catch(() => {
        this.#opening = null
      })
    }
    this.#kv = await this.#inTime(this.#opening)
    return this.#kv
  }

  #count(more: Partial<Operations>): void {
    this.#operations = addOperations(this.#operations, more)
  }

  /** A server may be gone without a word, and Deno asks it for ever. */
  #inTime<T>(answer: Promise<T>): Promise<T> {
    const { clock, timeoutMs } = this.#options
    return new Promise((resolve, reject) => {
      const late = (): void => reject(new Error(`No answer in ${timeoutMs} ms`))
      const timer = clock.setTimeout(late, timeoutMs)
      answer.then(resolve, (error) => reject(plain(error))).finally(() => clock.clearTimeout(timer))
    })
  }
}

/** The package adds a stack of its own to what it says. */
function plain(error: unknown): unknown {
  const [message = '', ...stack] = messageOf(error).split('\n')
  return stack.length > 0 ? new Error(message, { cause: error }) : error
}

/** SQLITE_BUSY, in the words of the database: it says so before it has written anything. */
function isLock(error: unknown): boolean {
  return messageOf(error).startsWith('database is locked')
}

/**
 * Entries that nobody else writes, each by one commit at a time: so what is in one tells for sure
 * whether its last commit was done.
 */
class Lanes {
  readonly owner: string
  readonly #free: number[] = []
  #lanes = 0
  #commits = 0

  constructor(owner: string) {
    this.owner = owner
  }

  take(): { lane: number; token: string } {
    return { lane: this.#free.pop() ?? this.#lanes++, token: String(this.#commits++) }
  }

  free(lane: number): void {
    this.#free.push(lane)
  }
}
