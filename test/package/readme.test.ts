import { execFileSync } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '../..')
const folder = mkdtempSync(join(tmpdir(), 'wherry-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A project with the packed package and what that depends on, as npm would install it. */
beforeAll(() => {
  const npm = (...args: string[]): string =>
    execFileSync('npm', args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  npm('pack', '--pack-destination', folder)
  const modules = join(folder, 'node_modules')
  mkdirSync(join(modules, '@hono'), { recursive: true })
  for (const name of ['croner', 'hono', 'superjson', 'unstorage', '@hono/node-server'])
    symlinkSync(join(ROOT, 'node_modules', name), join(modules, name))
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz')) as string
  execFileSync('tar', ['-xzf', join(folder, tarball), '-C', folder])
  renameSync(join(folder, 'package'), join(modules, 'wherry'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
}, 60_000)

test('the first code of the README runs against the packed package', () => {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
  const code = /```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? ''
  expect(code.trim().split('\n').length).toBeLessThanOrEqual(22)
  writeFileSync(join(folder, 'readme.ts'), code)
  const output = execFileSync(process.execPath, ['readme.ts'], {
    cwd: folder,
    encoding: 'utf8',
  })
  expect(output).toBe('cat.png@320 true\n')
})

test('a store whose package is not installed names it', () => {
  const code = `import { openStore } from 'wherry/runtime/node'
    const store = await openStore('deno-kv:./jobs.kv')
    await store.read({}).catch(({ code, message }) => console.log(code, message))`
  writeFileSync(join(folder, 'missing.ts'), code)
  const output = execFileSync(process.execPath, ['missing.ts'], { cwd: folder, encoding: 'utf8' })
  expect(output).toContain('store-unavailable')
  expect(output).toContain('npm install @deno/kv')
})

test('the tarball holds what it should', () => {
  const files = readdirSync(join(folder, 'node_modules/wherry'), {
    recursive: true,
    encoding: 'utf8',
  })
  for (const wanted of [
    'package.json',
    'README.md',
    'LICENSE',
    'CHANGELOG.md',
    'docs/guarantees.md',
    'dist/src/main.js',
    'dist/src/main.d.ts',
    'dist/src/http/main.js',
    'dist/src/testing/main.js',
    'dist/adapters/store/sqlite.js',
    'dist/adapters/runtime/cloudflare.d.ts',
    'dist/adapters/vendure/main.js',
    'docs/vendure.md',
  ]) {
    expect(files).toContain(wanted)
  }
  expect(files.filter((name) => /^(src|test|examples|adapters|bench)\//.test(name))).toEqual([])
  expect(files.filter((name) => name.includes('@vendure'))).toEqual([])
})
