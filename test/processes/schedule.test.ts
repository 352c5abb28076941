import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { openStore } from '../../adapters/runtime/node.ts'
import { JobQueueService } from '../../src/main.ts'
import { end } from './workers.ts'

const folder = mkdtempSync(join(tmpdir(), 'wherry-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function start(storage: string, log: string): Promise<ChildProcess> {
  const args = [join(import.meta.dirname, 'schedule-worker.ts'), storage, log]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout as NodeJS.ReadableStream, 'data')
  return child
}

test('two processes that tick on one file, one of them killed: each second has one job', {
  timeout: 60_000,
}, async () => {
  const storage = `sqlite:${join(folder, 'jobs.db')}`
  const log = join(folder, 'runs.log')
  const instants = (): number[] =>
    existsSync(log)
      ? readFileSync(log, 'utf8')
          .trim()
          .split('\n')
          .map((line) => Number(line.split(' ')[0]))
      : []
  const until = async (runs: number): Promise<void> => {
    while (new Set(instants()).size < runs) await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const workers = [await start(storage, log), await start(storage, log)]
  await until(4)
  await end(workers[0] as ChildProcess, 'SIGKILL')
  workers[0] = await start(storage, log)
  await until(8)
  await Promise.all(workers.map((worker) => end(worker, 'SIGTERM')))
  const service = new JobQueueService({ storage: openStore(storage) })
  const { items } = await service.findMany({ take: 1_000 })
  await service.close()
  const seconds = items.map(({ id }) => Number(String(id).replace('tick-', ''))).sort()
  // Not one too many, not one too few.
  const first = seconds[0] as number
  expect(seconds).toEqual(seconds.map((_, i) => first + i * 1_000))
  expect(seconds.length).toBeGreaterThanOrEqual(8)
  // The kill may have hit a run, which is then repeated; nothing else runs twice.
  const runs = instants()
  expect(runs.length - new Set(runs).size).toBeLessThanOrEqual(1)
  expect([...new Set(runs)].every((at) => seconds.includes(at))).toBe(true)
})
