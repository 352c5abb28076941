import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '../..')
const BUDGET_BYTES = 40 * 1_024

test('the whole example Worker is at most 40 KiB, minified and gzipped', {
  timeout: 60_000,
}, () => {
  const folder = mkdtempSync(join(tmpdir(), 'wherry-'))
  try {
    const wrangler = join(ROOT, 'node_modules/wrangler/bin/wrangler.js')
    execFileSync(
      process.execPath,
      [wrangler, 'deploy', '--dry-run', '--minify', '--outdir', folder],
      { cwd: ROOT, stdio: 'ignore' },
    )
    const bytes = gzipSync(readFileSync(join(folder, 'worker.js'))).length
    expect(bytes).toBeLessThanOrEqual(BUDGET_BYTES)
    expect(bytes).toBeGreaterThan(BUDGET_BYTES / 4)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
