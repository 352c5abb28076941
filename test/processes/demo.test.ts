import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { openStore } from '../../adapters/runtime/node.ts'
import { JobQueueService } from '../../src/main.ts'

const ROOT = join(import.meta.dirname, '../..')
const folder = mkdtempSync(join(tmpdir(), 'wherry-'))
const storage = `sqlite:${join(folder, 'demo.db')}`
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Demo {
  readonly child: ChildProcess
  output: string
}

function startDemo(): Demo {
  const child = spawn(process.execPath, ['examples/search/demo.ts', '--storage', storage], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const demo: Demo = { child, output: '' }
  child.stdout.on('data', (chunk) => {
    demo.output += chunk
  })
  return demo
}

async function finish({ child }: Demo): Promise<number | null> {
  const [code] = await once(child, 'exit')
  return code
}

const lastLine = ({ output }: Demo): string | undefined => output.trim().split('\n').at(-1)

/** When each settled job was settled. */
async function settlements(): Promise<Map<unknown, number | undefined>> {
  const service = new JobQueueService({ storage: openStore(storage) })
  const { items } = await service.findMany({ take: 1_000, filter: { isSettled: { eq: true } } })
  await service.close()
  return new Map(items.map(({ id, settledAt }) => [id, settledAt?.getTime()]))
}

async function documents(): Promise<number | undefined> {
  const store = await openStore(storage)
  const { counts } = await store.read({ counts: ['k/document'] })
  await store.close()
  return counts[0]
}

test('the demo ends the same after a kill -9 in its middle, and no settled job runs again', {
  timeout: 120_000,
}, async () => {
  const first = startDemo()
  while (!/^\d\d+\/\d+ settled$/m.test(first.output))
    await once(first.child.stdout as NodeJS.ReadableStream, 'data')
  first.child.kill('SIGKILL')
  await finish(first)
  const settledBefore = await settlements()
  const total = Number(/^(\d+) READMEs/m.exec(first.output)?.[1])
  expect(settledBefore.size).toBeGreaterThan(0)
  expect(settledBefore.size).toBeLessThan(total)

  const second = startDemo()
  expect(await finish(second)).toBe(0)
  expect(lastLine(second)).toBe(`${total} completed, 0 failed`)
  expect(total).toBeGreaterThanOrEqual(100)
  const settledAfter = await settlements()
  for (const [id, at] of settledBefore) expect(settledAfter.get(id)).toBe(at)
  expect(await documents()).toBe(total)

  const third = startDemo()
  expect(await finish(third)).toBe(0)
  expect(lastLine(third)).toBe(lastLine(second))
  expect(third.output).toContain('0 jobs added')
  expect(await settlements()).toEqual(settledAfter)
  expect(second.output.match(/^"/gm)).toHaveLength(3)
})
