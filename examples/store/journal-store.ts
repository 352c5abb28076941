/**
 * A store on `node:fs`, written by `docs/writing-a-store.md` alone: all records are in memory, and
 * each commit is one line that is appended to a file before anyone sees it. Guarantee: `process`.
 */
import { type FileHandle, open, readFile, rename, rm, writeFile } from 'node:fs/promises'
import process from 'node:process'
import {
  type Answer,
  addOperations,
  assertCommit,
  type Hint,
  isWrite,
  type Limits,
  NO_OPERATIONS,
  neverFalling,
  type Operations,
  type Put,
  type Query,
  RecordIndex,
  type Row,
  type Store,
  systemClock,
  systemRandom,
  VersionSource,
  WakeBoard,
  withParts,
} from '../../src/store/main.ts'

/** What one line says of a record: what it is from now on, or that it is gone. */
type Entry = Row | { readonly key: string; readonly gone: true }

const LIMITS: Limits = {
  unitPuts: 1_000,
  batchUnits: 100,
  keyBytes: 512,
  partBytes: 4 * 2 ** 20,
  unitBytes: 16 * 2 ** 20,
}

/**
 * Opens the journal, or begins one.
 *
 * @throws Error when another process has it open.
 */
export async function openJournalStore(path: string): Promise<Store> {
  await lock(`${path}.lock`)
  const index = new RecordIndex()
  for (const entry of await entriesOf(path)) set(index, entry)
  // Written anew, the journal holds each record once, and no line that a crash has torn.
  await writeFile(`${path}.new`, lineOf(index.range({ prefix: '', limit: Infinity })))
  await rename(`${path}.new`, path)
  return new JournalStore(path, await open(path, 'a'), index)
}

class JournalStore implements Store {
  readonly name = 'journal'
  readonly guarantee = 'process'
  readonly clock = 'store'
  readonly limits: Limits = LIMITS
  readonly #path: string
  readonly #file: FileHandle
  readonly #index: RecordIndex
  readonly #versions = new VersionSource(systemRandom)
  readonly #wakes = new WakeBoard()
  readonly #now = neverFalling(systemClock)
  #operations = NO_OPERATIONS
  /** The commit before: one is checked when what stands before it is written. */
  #tail: Promise<unknown> = Promise.resolve()
  #closing: Promise<void> | null = null
  #failure: Error | null = null

  constructor(path: string, file: FileHandle, index: RecordIndex) {
    this.#path = path
    this.#file = file
    this.#index = index
  }

  async read({ get = [], parts = [], ranges = [], counts = [] }: Query): Promise<Answer> {
    this.#count({ reads: 1 })
    return {
      now: this.#now(),
      got: get.map((key) => {
        const row = this.#index.get(key)
        return row && withParts(row, parts)
      }),
      ranges: ranges.map((range) => this.#index.range(range).map((row) => withParts(row, []))),
      counts: counts.map((place) => this.#index.count(place)),
    }
  }

  async commit(units: readonly (readonly Put[])[], hint?: Hint): Promise<(string | null)[]> {
    assertCommit(units, this.limits)
    const committed = this.#tail.then(() => this.#commit(units))
    this.#tail = committed.catch(() => {})
    const versions = await committed
    if (versions.some((version) => version)) this.#wakes.publish(hint)
    return versions
  }

  subscribe(channel: string, hear: (at: number) => void): () => void {
    return this.#wakes.subscribe(channel, hear)
  }

  operations(): Operations {
    return this.#operations
  }

  close(): Promise<void> {
    this.#closing ??= this.#tail.then(async () => {
      await this.#file.close()
      await rm(`${this.#path}.lock`, { force: true })
    })
    return this.#closing
  }

  async #commit(units: readonly (readonly Put[])[]): Promise<(string | null)[]> {
    const entries: Entry[] = []
    const versions = units.map((unit) => {
      if (!this.#index.holds(unit)) return null
      const writes = unit.filter(isWrite)
      if (writes.length === 0) return ''
      const version = this.#versions.next()
      for (const put of writes) {
        entries.push(this.#index.next(put, version) ?? { key: put.key, gone: true })
      }
      return version
    })
    if (entries.length > 0) {
      await this.#append(entries)
      for (const entry of entries) set(this.#index, entry)
      this.#count({ writes: 1 })
    }
    return versions
  }

  /** After a write that failed, nobody knows what the file ends with: no other is to follow it. */
  async #append(entries: readonly Entry[]): Promise<void> {
    if (this.#failure !== null) throw this.#failure
    try {
      await this.#file.appendFile(lineOf(entries))
      await this.#file.datasync()
    } catch (error) {
      this.#failure = new Error('Cannot commit: the journal failed, expected to be opened again', {
        cause: error,
      })
      throw this.#failure
    }
  }

  #count(more: Partial<Operations>): void {
    this.#operations = addOperations(this.#operations, more)
  }
}

function set(index: RecordIndex, entry: Entry): void {
  index.set(entry.key, 'gone' in entry ? null : entry)
}

/** One line is one commit, so a crash leaves all of it or a line that is no JSON. */
function lineOf(entries: readonly Entry[]): string {
  return `${JSON.stringify(entries)}\n`
}

async function entriesOf(path: string): Promise<Entry[]> {
  const text = await readFile(path, 'utf8').catch((error) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  const lines = text.split('\n')
  // What follows the last line break was being written when the process died: nobody was answered.
  return lines.slice(0, -1).flatMap((line) => JSON.parse(line) as Entry[])
}

/**
 * Two processes would not see each other's commits. (Two that start in the same moment, after a
 * third has died, may both pass here; `src/store/storage-owner.ts` takes more care.)
 */
async function lock(path: string): Promise<void> {
  const owner = Number(await readFile(path, 'utf8').catch(() => ''))
  if (owner > 0 && isAlive(owner)) {
    throw new Error(`Cannot open the journal: process ${owner} has it, expected no other`)
  }
  await rm(path, { force: true })
  await writeFile(path, String(process.pid), { flag: 'wx' })
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
