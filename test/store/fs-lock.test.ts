import assert from 'node:assert/strict'
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, describe, it } from 'vitest'
import { createFsStore } from '../../adapters/store/fs.ts'
import type { Clock } from '../../src/clock.ts'

const OPENER = fileURLToPath(new URL('fs-opener.ts', import.meta.url))
const root = mkdtempSync(join(tmpdir(), 'wherry-'))
let folders = 0
const openers: Opener[] = []

afterEach(async () => {
  for (const opener of openers.splice(0)) await opener.kill()
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

function newFolder(): string {
  return join(root, `${++folders}`)
}

/** Another process that may open a folder. */
class Opener {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>
  readonly #lines: AsyncIterator<string>

  constructor(folder: string) {
    this.#child = spawn(process.execPath, [OPENER, folder], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
    openers.push(this)
  }

  get pid(): number {
    return this.#child.pid as number
  }

  /** Resolves when it waits for the word. */
  async ready(): Promise<this> {
    assert.equal(await this.#line(), 'ready')
    return this
  }

  /** Tells it to open the folder. Answers `open`, or the code and the message of the refusal. */
  async open(): Promise<string> {
    this.#child.stdin.write('\n')
    return this.#line()
  }

  /** Tells it to close the folder, and waits for its end. */
  async close(): Promise<void> {
    const exit = once(this.#child, 'exit')
    this.#child.stdin.end()
    assert.deepEqual(await exit, [0, null])
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exit = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exit
  }

  async #line(): Promise<string> {
    return (await this.#lines.next()).value ?? ''
  }
}

function locksIn(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.includes('.lock.'))
}

/** What this process would write into a lock, as far as others look at it. */
const HOLDER = { pid: process.pid, host: hostname(), boot: null, start: null, nonce: 'another' }

function writeLock(folder: string, number: number, holder: object | string): void {
  mkdirSync(folder, { recursive: true })
  const text = typeof holder === 'string' ? holder : JSON.stringify(holder)
  writeFileSync(join(folder, `wherry.lock.${number}`), text)
}

/** A clock whose timers fire at once, after a word to the test. */
function clockThat(tells: () => void): Clock {
  const setTimeout = (callback: () => void): void => {
    tells()
    queueMicrotask(callback)
  }
  return { now: () => 0, monotonic: () => 0, setTimeout, clearTimeout: () => {} }
}

describe('the lock of a folder', () => {
  it('is taken at the first use, and keeps a second process out until close()', async () => {
    const folder = newFolder()
    const store = createFsStore(folder)
    assert.ok(!existsSync(folder))
    await store.read({})
    const second = await new Opener(folder).ready()
    const refusal = await second.open()
    assert.match(refusal, /^store-unavailable: /)
    assert.match(refusal, new RegExp(`process ${process.pid} on`))
    assert.match(refusal, /sqlite: and redis: are for several processes/)
    await store.close()
    const third = await new Opener(folder).ready()
    assert.equal(await third.open(), 'open')
    await assert.rejects(createFsStore(folder).read({}), { code: 'store-unavailable' })
    await third.close()
    const fourth = createFsStore(folder)
    await fourth.read({})
    await fourth.close()
  })

  it('keeps a second store of the same process out', async () => {
    const folder = newFolder()
    const [first, second] = [createFsStore(folder), createFsStore(folder)]
    await first.read({})
    await assert.rejects(second.read({}), { code: 'store-unavailable' })
    await second.close()
    await first.commit([[{ key: 'a', expect: null, place: 'r/one', score: 0 }]])
    await first.close()
  })

  it('is one lock for each base', async () => {
    const folder = newFolder()
    const stores = [createFsStore(folder), createFsStore(folder, { base: 'other' })]
    for (const store of stores) {
      await store.commit([[{ key: 'a', expect: null, place: 'r/one', score: 0 }]])
    }
    for (const store of stores) await store.close()
  })

  it('of a process that was killed goes to exactly one of ten rivals', async () => {
    const folder = newFolder()
    for (let round = 0; round < 3; round++) {
      const rivals = await Promise.all(Array.from({ length: 10 }, () => new Opener(folder).ready()))
      const answers = await Promise.all(rivals.map((rival) => rival.open()))
      const refused = answers.filter((answer) => answer.startsWith('store-unavailable: '))
      assert.deepEqual([answers.filter((one) => one === 'open').length, refused.length], [1, 9])
      assert.equal(locksIn(folder).length, 1)
      const winner = rivals[answers.indexOf('open')] as Opener
      assert.match(refused[0] ?? '', new RegExp(`process ${winner.pid} on`))
      await Promise.all(rivals.map((rival) => rival.kill()))
    }
  }, 60_000)

  it('of a process before the last start of the machine is taken over', async () => {
    const folder = newFolder()
    writeLock(folder, 7, { ...HOLDER, boot: 'another start' })
    const store = createFsStore(folder)
    await store.read({})
    assert.deepEqual(locksIn(folder), ['wherry.lock.8'])
    await store.close()
  })

  it.runIf(process.platform === 'linux')(
    'of a process whose pid was given again is taken over',
    async () => {
      const folder = newFolder()
      writeLock(folder, 1, { ...HOLDER, start: '1' })
      const store = createFsStore(folder)
      await store.read({})
      await store.close()
    },
  )

  it('of another machine is not taken over', async () => {
    const folder = newFolder()
    writeLock(folder, 1, { ...HOLDER, host: 'elsewhere', pid: 1 })
    await assert.rejects(createFsStore(folder).read({}), {
      code: 'store-unavailable',
      message: /process 1 on "elsewhere" .*; delete the lock if that process is gone$/,
    })
    assert.deepEqual(locksIn(folder), ['wherry.lock.1'])
  })

  it('whose writer died in the middle of it is taken over after some looks', async () => {
    const folder = newFolder()
    writeLock(folder, 1, '{"pid":')
    let looks = 0
    const store = createFsStore(folder, { clock: clockThat(() => looks++) })
    await store.read({})
    assert.ok(looks > 1)
    await store.close()
  })

  it('whose writer is in the middle of it is waited for', async () => {
    const folder = newFolder()
    writeLock(folder, 1, '')
    let looks = 0
    const finish = (): void => {
      if (++looks === 3) writeLock(folder, 1, HOLDER)
    }
    const store = createFsStore(folder, { clock: clockThat(finish) })
    await assert.rejects(store.read({}), { code: 'store-unavailable' })
    assert.equal(looks, 3)
  })
})
