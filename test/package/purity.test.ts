import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'

const SRC = join(import.meta.dirname, '../../src')
const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((name) =>
  name.endsWith('.ts'),
)

/** What only `src/system.ts` may ask the platform for: elsewhere it is handed in. */
const AMBIENT =
  /\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\bperformance\.|\bcrypto\.|\bset(?:Timeout|Interval|Immediate)\(|\bAbortSignal\.timeout\b|\bqueueMicrotask\b/
/** A platform, by its name or its modules. */
const PLATFORM =
  /from '(?:node:|bun:|cloudflare:|deno)|\bprocess\.(?!s)|\bDeno\.|\bBun\.|\brequire\(/
const HANDED_IN =
  /clock\.setTimeout\(|#clock\.setTimeout\(|\bsetTimeout\(callback: |\bsetTimeout\(callback, ms\): /g

function codeOf(name: string): string {
  return readFileSync(join(SRC, name), 'utf8')
    .replaceAll(/\/\*[\s\S]*?\*\//g, '')
    .replaceAll(/\/\/.*$/gm, '')
}

describe('src/', () => {
  test.each(files)('%s names no platform', (name) => {
    expect(PLATFORM.exec(codeOf(name))?.[0]).toBeUndefined()
  })

  test.each(files.filter((name) => name !== 'system.ts' && !name.startsWith('testing')))(
    '%s takes time and chance from whoever calls it',
    (name) => {
      expect(AMBIENT.exec(codeOf(name).replaceAll(HANDED_IN, ''))?.[0]).toBeUndefined()
    },
  )

  test.each(files)('%s imports what its layer may', (name) => {
    const imports = [...codeOf(name).matchAll(/from '([^']+)'/g)].map(([, from]) => from as string)
    const packages = imports
      .filter((from) => !from.startsWith('.'))
      .map((from) => from.split('/')[0])
    const byFile: Record<string, string[]> = {
      'codec.ts': ['superjson'],
      'schedule/cron-schedule.ts': ['croner'],
    }
    const allowed = name.startsWith('http/') ? ['hono'] : (byFile[name] ?? [])
    expect(packages.filter((one) => !allowed.includes(one as string))).toEqual([])
    expect(imports.filter((from) => from.includes('adapters/'))).toEqual([])
    if (!name.startsWith('http/'))
      expect(imports.filter((from) => from.includes('http/'))).toEqual([])
    if (name.startsWith('store/'))
      expect(imports.filter((from) => from.includes('kv/'))).toEqual([])
  })
})
