/** Starts the example app on each runtime, as a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'

export const ROOT: string = join(import.meta.dirname, '../..')
export const TOKEN = 'correct-horse-battery-staple'

export interface Server {
  readonly url: string
  /** What it printed so far. */
  output(): string
  stop(): Promise<void>
}

const START_MS_MAX = 60_000

/** Starts a command of the project and waits until it says where it listens. */
export async function start(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Server> {
  const child = spawn(command, args, {
    cwd: ROOT,
    // A group of its own, so that what it starts ends with it.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1', PORT: '0', ...env },
  })
  let output = ''
  const hear = (chunk: Buffer): void => {
    output += chunk
  }
  child.stdout.on('data', hear)
  child.stderr.on('data', hear)
  const url = await listening(child, () => output)
  return { url, output: () => output, stop: () => stop(child) }
}

/** The configuration of the example that has a Durable Object too. */
export const OBJECTS = 'examples/search/objects.toml'

/** wrangler, with settings as `--var` gives them and with state of its own. */
export async function startWrangler(
  folder: string,
  vars: Readonly<Record<string, string>>,
  config = 'wrangler.toml',
): Promise<Server> {
  const port = String(await freePort())
  const settings = Object.entries(vars).flatMap(([name, value]) => ['--var', `${name}:${value}`])
  const wrangler = join(ROOT, 'node_modules/wrangler/bin/wrangler.js')
  const args = [
    'dev',
    '--config',
    config,
    '--ip',
    '127.0.0.1',
    '--port',
    port,
    '--inspector-port',
    '0',
    '--persist-to',
    folder,
    ...settings,
  ]
  return start(process.execPath, [wrangler, ...args])
}

async function listening(child: ChildProcess, output: () => string): Promise<string> {
  const over = AbortSignal.timeout(START_MS_MAX)
  const url = await new Promise<string | undefined>((resolve) => {
    over.addEventListener('abort', () => resolve(undefined))
    child.once('exit', () => resolve(undefined))
    child.stdout?.on('data', () => {
      const found = /(?:Listening|Ready) on (http:\/\/\S+)/.exec(output())?.[1]
      if (found !== undefined) resolve(found)
    })
  })
  if (url !== undefined) return url.replace('localhost', '127.0.0.1')
  await stop(child)
  throw new Error(`The server did not start:\n${output()}`)
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  process.kill(-(child.pid as number), 'SIGTERM')
  await exited
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
