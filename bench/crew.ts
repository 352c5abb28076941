import type { ChildProcess } from 'node:child_process'
import type { CaseSetting } from './cases.ts'
import { spawnChild } from './child.ts'
import type { ContestantName } from './contestants.ts'
import { inTime } from './heat.ts'

/** What a member of a crew is started with. */
export interface CrewOrder {
  readonly contestant: ContestantName
  readonly url: string
  readonly concurrency: number
}

/** What it tells. */
export type CrewReport =
  | { readonly type: 'ready' }
  | { readonly type: 'ran'; readonly indexes: readonly number[]; readonly lastRanAt: number }
  | { readonly type: 'stopped'; readonly cpuSeconds: number }

export interface CrewTotal {
  /** When the last handler of all was called: ms since 1970. */
  readonly lastRanAt: number
  readonly cpuSeconds: number
}

/** Processes that work on one queue. */
export interface Crew {
  start(): void
  stop(): Promise<CrewTotal>
  /** Ends those that are still there. */
  dismiss(): void
}

/** Starts so many processes, and waits until each is warm. */
export async function hireCrew(
  { contestant, url }: CaseSetting,
  size: number,
  onRun: (index: number) => void,
): Promise<Crew> {
  const order: CrewOrder = { contestant, url, concurrency: 10 }
  let [lastRanAt, cpuSeconds] = [0, 0]
  const members = Array.from({ length: size }, () => new Member(spawnChild('./worker.ts', order)))
  for (const member of members) {
    member.onReport = (report) => {
      if (report.type === 'stopped') cpuSeconds += report.cpuSeconds
      if (report.type !== 'ran') return
      lastRanAt = Math.max(lastRanAt, report.lastRanAt)
      for (const index of report.indexes) onRun(index)
    }
  }
  const each = (step: (member: Member) => Promise<void>): Promise<unknown> =>
    inTime(Promise.all(members.map(step)))
  await each((member) => member.ready)
  return {
    start() {
      for (const member of members) member.say('start')
    },
    async stop() {
      await each((member) => member.stop())
      return { lastRanAt, cpuSeconds }
    },
    dismiss() {
      for (const member of members) member.end()
    },
  }
}

class Member {
  readonly #child: ChildProcess
  readonly #ready = Promise.withResolvers<void>()
  readonly #stopped = Promise.withResolvers<void>()
  onReport: (report: CrewReport) => void = () => {}

  constructor(child: ChildProcess) {
    this.#child = child
    child.on('message', (message) => this.#hear(message as CrewReport))
    child.once('exit', (code) => {
      const error = new Error(`A worker ended with ${code}`)
      this.#ready.reject(error)
      this.#stopped.reject(error)
    })
    // Whoever waits hears of it.
    this.#ready.promise.catch(() => {})
    this.#stopped.promise.catch(() => {})
  }

  get ready(): Promise<void> {
    return this.#ready.promise
  }

  say(word: 'start' | 'stop'): void {
    this.#child.send(word)
  }

  stop(): Promise<void> {
    this.say('stop')
    return this.#stopped.promise
  }

  end(): void {
    this.#child.kill('SIGKILL')
  }

  #hear(report: CrewReport): void {
    this.onReport(report)
    if (report.type === 'ready') this.#ready.resolve()
    if (report.type === 'stopped') this.#stopped.resolve()
  }
}
