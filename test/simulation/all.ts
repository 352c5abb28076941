/**
 * Runs many seeds of both simulations in as many processes as there are cores.
 *
 *     npm run simulate -- --seeds 20000
 *     npm run simulate -- --seeds 1000000 --from 20001 --kv 0.05
 *
 * Told to stop (SIGTERM), it ends the runs that are under way, and says how far it came.
 */
import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '3000' },
    from: { type: 'string', default: '1' },
    /** The part of them on the KV, where a seed takes three times as long as in memory. */
    kv: { type: 'string', default: '0.2' },
  },
})
const SEEDS_PER_RUN = 1_000
const seeds = Number(values.seeds)
const first = Number(values.from)
const kvSeeds = Math.round(seeds * Number(values.kv))

interface Run {
  readonly on: 'memory' | 'kv'
  readonly from: number
  readonly count: number
}

const runs = [...runsOf('kv', kvSeeds), ...runsOf('memory', seeds - kvSeeds)]
const totals = new Map<string, Record<string, number>>()
let failed = false
process.on('SIGTERM', () => runs.splice(0, runs.length))
await Promise.all(Array.from({ length: availableParallelism() }, work))
for (const [on, sums] of totals) process.stdout.write(`${on}: ${JSON.stringify(sums)}\n`)
process.exitCode = failed ? 1 : 0

function runsOf(on: Run['on'], count: number): Run[] {
  const all: Run[] = []
  for (let done = 0; done < count; done += SEEDS_PER_RUN)
    all.push({ on, from: first + done, count: Math.min(SEEDS_PER_RUN, count - done) })
  return all
}

async function work(): Promise<void> {
  for (let run = runs.shift(); run !== undefined; run = runs.shift()) {
    const { ok, output } = await start(run)
    const lines = output.trim().split('\n')
    for (const line of lines.slice(0, -1)) process.stdout.write(`${run.on} ${line}\n`)
    if (!ok) {
      failed = true
      process.stdout.write(
        `${run.on}: ${lines.at(-1)}\nReplay with: node test/simulation/run.ts --on ${run.on} --count 1 --trace --from SEED\n`,
      )
      continue
    }
    addUp(run.on, JSON.parse(lines.at(-1) ?? '{}'))
  }
}

function start({ on, from, count }: Run): Promise<{ ok: boolean; output: string }> {
  const args = [
    join(import.meta.dirname, 'run.ts'),
    '--on',
    on,
    '--from',
    String(from),
    '--count',
    String(count),
  ]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk) => {
    output += chunk
  })
  return new Promise((resolve) =>
    child.once('close', (code) => resolve({ ok: code === 0, output })),
  )
}

function addUp(on: string, report: Record<string, unknown>): void {
  const sums = totals.get(on) ?? {}
  for (const [name, value] of Object.entries(report)) {
    if (typeof value !== 'number') continue
    sums[name] = name.endsWith('Ms')
      ? Math.max(sums[name] ?? 0, value)
      : Math.round(((sums[name] ?? 0) + value) * 10) / 10
  }
  totals.set(on, sums)
}
