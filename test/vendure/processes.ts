/** Processes of a shop, and what they tell. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Wish } from './server.ts'
import type { ShopSetting } from './shop.ts'

/** The longest that anything here may take, in ms: a slow machine boots a shop in ten seconds. */
const DEADLINE_MS = 40_000
const LOOK_EVERY_MS = 50

export interface Told {
  readonly event: string
  readonly id?: string | number
  readonly state?: string
  readonly [field: string]: unknown
}

/** A server, a worker, or whatever script of this folder. */
export class ShopProcess {
  readonly child: ChildProcess
  readonly told: Told[] = []
  #order = 0

  constructor(script: string, setting: ShopSetting) {
    const file = join(import.meta.dirname, script)
    this.child = fork(file, [JSON.stringify(setting)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      // A test tells nobody that it ran.
      env: { ...globalThis.process.env, VENDURE_DISABLE_TELEMETRY: 'true' },
    })
    this.child.on('message', (message: Told) => {
      if (message.event !== undefined) this.told.push(message)
    })
  }

  static async start(script: string, setting: ShopSetting): Promise<ShopProcess> {
    const process = new ShopProcess(script, setting)
    await process.hears('ready')
    return process
  }

  /** Waits until the process has told that, of this job if one is named. */
  async hears(event: string, id?: string | number): Promise<Told> {
    return until(`"${event}" of ${id ?? 'the process'}`, () => {
      const { exitCode, signalCode } = this.child
      if (exitCode !== null || signalCode !== null)
        throw new Error(`It ended: ${exitCode ?? signalCode}`)
      return this.told.find((told) => told.event === event && (id === undefined || told.id === id))
    })
  }

  /** Asks a server for something, and waits for its answer. */
  async ask<T>(wish: Wish): Promise<T> {
    const order = ++this.#order
    const answered = Promise.withResolvers<T>()
    const hear = (message: { order?: number; answer?: T; error?: string }): void => {
      if (message.order !== order) return
      this.child.off('message', hear)
      if (message.error !== undefined) answered.reject(new Error(message.error))
      else answered.resolve(message.answer as T)
    }
    this.child.on('message', hear)
    this.child.send({ order, wish })
    return answered.promise
  }

  /** Lets a job that holds end. */
  tell(message: string): void {
    this.child.send(message)
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    const { child } = this
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill(signal)
    await exited
  }

  /** Waits for a script that ends by itself. */
  async ended(): Promise<number | null> {
    if (this.child.exitCode === null) await once(this.child, 'exit')
    return this.child.exitCode
  }
}

/** Waits until the look gives something. */
export async function until<T>(
  what: string,
  look: () => T | undefined | Promise<T | undefined>,
): Promise<T> {
  const deadline = performance.now() + DEADLINE_MS
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    if (performance.now() > deadline) throw new Error(`Waited ${DEADLINE_MS} ms for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
  }
}
