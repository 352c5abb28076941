/**
 * Installs the servers that the tests start and that are missing, where that can be done: on Debian,
 * as root. What cannot be installed is skipped by its tests, each with this reason; with
 * `WHERRY_TEST_ALL=1`, as in CI, that is an error.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import process from 'node:process'

interface TestServer {
  /** Its package in Debian. */
  readonly name: string
  readonly isThere: () => boolean
}

const POSTGRES = '/usr/lib/postgresql'

const SERVERS: readonly TestServer[] = [
  { name: 'redis-server', isThere: () => runs('redis-server', '--version') },
  {
    name: 'postgresql',
    isThere: () => existsSync(POSTGRES) && readdirSync(POSTGRES).length > 0,
  },
]

function runs(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0
}

function missing(): string[] {
  return SERVERS.filter(({ isThere }) => !isThere()).map(({ name }) => name)
}

const wanted = missing()
if (wanted.length > 0 && process.getuid?.() === 0 && runs('apt-get', '--version')) {
  process.stdout.write(`Installing for the tests: ${wanted.join(', ')}\n`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  spawnSync('apt-get', ['update'], { stdio: 'ignore', env })
  const args = ['install', '-y', '--no-install-recommends', ...wanted]
  spawnSync('apt-get', args, { stdio: 'inherit', env })
}
const left = missing()
if (left.length > 0) {
  process.stdout.write(`Not installed, so their tests are skipped: ${left.join(', ')}\n`)
  if (process.env['WHERRY_TEST_ALL'] === '1') process.exitCode = 1
}
