import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '../..')

export type Runtime = 'node' | 'deno'

/** How a program is run on each. */
const COMMANDS: Readonly<Record<Runtime, readonly [command: string, ...options: string[]]>> = {
  node: [process.execPath],
  deno: [join(ROOT, 'node_modules/.bin/deno'), 'run', '-A'],
}

/** Starts a worker process on the storage; resolves when it runs. */
export async function startWorker(
  storage: string,
  log: string,
  leaseMs = 1_000,
  runtime: Runtime = 'node',
): Promise<ChildProcess> {
  const [command, ...options] = COMMANDS[runtime]
  const args = [...options, 'test/processes/worker.ts', storage, log, String(leaseMs)]
  const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout as NodeJS.ReadableStream, 'data')
  return child
}

export async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill(signal)
  await exited
}

/** What the workers wrote down: how often each job ran, and whether two runs had one fence. */
export function readRuns(log: string): { runs: Map<string, number>; fencesAreUnique: boolean } {
  const lines = readFileSync(log, 'utf8').trim().split('\n')
  const runs = new Map<string, number>()
  const fences = new Set<string>()
  for (const line of lines) {
    const [id = '', fence] = line.split(' ')
    runs.set(id, (runs.get(id) ?? 0) + 1)
    fences.add(`${id} ${fence}`)
  }
  return { runs, fencesAreUnique: fences.size === lines.length }
}

/** A run of a job, as its worker wrote it down. */
export interface RunStart {
  readonly id: string
  readonly fence: number
  readonly pid: number
  readonly at: number
}

/** The runs of each job, in the order of their starts. */
export function readStarts(log: string): Map<string, RunStart[]> {
  const starts = readFileSync(log, 'utf8')
    .trim()
    .split('\n')
    .map((line) => {
      const [id = '', fence, pid, at] = line.split(' ')
      return { id, fence: Number(fence), pid: Number(pid), at: Number(at) }
    })
  return Map.groupBy(starts, ({ id }) => id)
}
