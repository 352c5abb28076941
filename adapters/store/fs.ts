/**
 * Jobs as files in a folder: `fs:./jobs`. Guarantee: `process`. One process at a time may use the
 * folder; a lock in it keeps others out. A job survives a process that is killed at any moment; a
 * power cut may lose what the operating system had not written to the disk yet.
 *
 * @module
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import process from 'node:process'
import { createStorage } from 'unstorage'
import fsLite from 'unstorage/drivers/fs-lite'
import { type Clock, type Random, randomToken, sleep } from '../../src/clock.ts'
import { WherryError } from '../../src/errors.ts'
import type { Store } from '../../src/store/store.ts'
import { type OpenedStorage, openUnstorageStore } from '../../src/store/unstorage-store.ts'
import { systemClock, systemRandom } from '../../src/system.ts'

export interface FsStoreOptions {
  /** The folder in `path` that holds the files: letters, digits, "_" and "-". Default `wherry`. */
  readonly base?: string | undefined
  readonly clock?: Clock | undefined
  readonly random?: Random | undefined
}

/** Locks and reads the folder at the first use, and makes it when it is not there. */
export function createFsStore(path: string, options: FsStoreOptions = {}): Store {
  const { base = 'wherry', clock = systemClock, random = systemRandom } = options
  const folder = resolve(path)
  const open = async (): Promise<OpenedStorage> => {
    const lock = new FolderLock(join(folder, `${base}.lock`), clock, random)
    await lock.take()
    const storage = createStorage({ driver: fsLite({ base: folder }) })
    return {
      storage,
      close: async () => {
        await storage.dispose()
        lock.release()
      },
    }
  }
  return openUnstorageStore(open, { ...options, name: 'fs' })
}

/** Who holds a lock. */
interface Holder {
  readonly pid: number
  readonly host: string
  /** Which start of the machine this is; null where the platform does not tell. */
  readonly boot: string | null
  /** Which start of that pid this is, as pids are given again; null where it does not tell. */
  readonly start: string | null
  readonly nonce: string
}

/** What a lock says once its holder has left in good order. */
const RELEASED = 'released'
/**
 * A lock without a whole text is being written, or its writer died in the middle: how often to look
 * before it is taken for the latter, and how far apart, in ms.
 */
const LOOKS = 40
const LOOK_MS = 50

/**
 * A lock made of numbered files, of which the highest counts. A lock is taken, and taken over, only
 * by creating the next number, which the file system lets one process do; what counts is never
 * deleted, so nobody can take a number that was given away before.
 */
class FolderLock {
  readonly #path: string
  readonly #clock: Clock
  readonly #own: string
  #number = 0

  constructor(path: string, clock: Clock, random: Random) {
    this.#path = path
    this.#clock = clock
    const { pid } = process
    const nonce = randomToken(random, 12)
    const own: Holder = { pid, host: hostname(), boot: bootId(), start: startOf(pid), nonce }
    this.#own = JSON.stringify(own)
  }

  /** @throws WherryError `store-unavailable` when another process holds the lock, or may hold it. */
  async take(): Promise<void> {
    mkdirSync(dirname(this.#path), { recursive: true })
    let looks = 0
    for (;;) {
      const last = Math.max(0, ...this.#numbers())
      const text = last === 0 ? RELEASED : this.#read(last)
      const holder = holderIn(text)
      if (holder === null && text !== RELEASED && looks++ < LOOKS) {
        await sleep(this.#clock, LOOK_MS)
        continue
      }
      if (holder !== null && !isGone(holder)) throw this.#refusal(holder, last)
      if (this.#create(last + 1)) return
      looks = 0
    }
  }

  /** Leaves the lock to others, if it is still this one's. */
  release(): void {
    if (this.#number === 0 || this.#read(this.#number) !== this.#own) return
    writeFileSync(this.#file(this.#number), RELEASED)
    this.#number = 0
  }

  /** Creates the next lock, unless someone else did; whether it is this one's now. */
  #create(number: number): boolean {
    try {
      writeFileSync(this.#file(number), this.#own, { flag: 'wx' })
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false
      throw error
    }
    const numbers = this.#numbers()
    if (Math.max(...numbers) !== number) {
      // Time stood still between looking and creating, and others have gone on meanwhile.
      rmSync(this.#file(number), { force: true })
      return false
    }
    this.#number = number
    for (const older of numbers) {
      if (older < number) rmSync(this.#file(older), { force: true })
    }
    return true
  }

  #numbers(): number[] {
    const prefix = `${basename(this.#path)}.`
    return readdirSync(dirname(this.#path))
      .filter((name) => name.startsWith(prefix))
      .map((name) => Number(name.slice(prefix.length)))
      .filter((number) => Number.isSafeInteger(number) && number > 0)
  }

  #read(number: number): string {
    try {
      return readFileSync(this.#file(number), 'utf8')
    } catch (error) {
      // A higher one has just taken its place.
      if (codeOf(error) === 'ENOENT') return ''
      throw error
    }
  }

  #file(number: number): string {
    return `${this.#path}.${number}`
  }

  #refusal({ pid, host }: Holder, number: number): WherryError {
    const advice = host === hostname() ? '' : '; delete the lock if that process is gone'
    return new WherryError(
      'store-unavailable',
      `Cannot open "${dirname(this.#path)}": process ${pid} on "${host}" holds "${basename(this.#file(number))}", expected nobody (sqlite: and redis: are for several processes)${advice}`,
    )
  }
}

function holderIn(text: string): Holder | null {
  try {
    return JSON.parse(text) as Holder
  } catch {
    return null
  }
}

/** Whether the process is surely gone. Of another machine nobody can tell. */
function isGone({ pid, host, boot, start }: Holder): boolean {
  if (host !== hostname()) return false
  const bootNow = bootId()
  if (boot !== null && bootNow !== null && boot !== bootNow) return true
  const startNow = startOf(pid)
  if (start !== null && startNow !== null) return start !== startNow
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return codeOf(error) === 'ESRCH'
  }
}

function bootId(): string | null {
  return contentOf('/proc/sys/kernel/random/boot_id')?.trim() ?? null
}

/** When the process started, in ticks since the boot; '' when it is dead and only its entry is left. */
function startOf(pid: number): string | null {
  // "pid (name) state …", where the name may hold anything; the start is field 22.
  const [state = '', ...fields] =
    contentOf(`/proc/${pid}/stat`)?.split(') ').at(-1)?.split(' ') ?? []
  if (state === '') return null
  return state === 'Z' || state === 'X' ? '' : (fields[18] ?? null)
}

function contentOf(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown }).code
}
