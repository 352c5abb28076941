import { Cluster, Redis } from 'ioredis'
import { RedisServer } from './redis-server.ts'

const SLOTS = 16_384
const NODES = 3

/** Three redis-servers that share the slots among them. */
export class RedisCluster {
  readonly #servers: readonly RedisServer[]

  private constructor(servers: readonly RedisServer[]) {
    this.#servers = servers
  }

  static async start(): Promise<RedisCluster> {
    const starting = Array.from({ length: NODES }, () =>
      RedisServer.start('--cluster-enabled', 'yes', '--cluster-node-timeout', '2000'),
    )
    const servers = await Promise.all(starting)
    const nodes = servers.map(({ url }) => new Redis(url))
    const [first] = servers
    await Promise.all(
      nodes.map(async (node, i) => {
        const from = Math.floor((i * SLOTS) / NODES)
        const to = Math.floor(((i + 1) * SLOTS) / NODES) - 1
        await node.call('CLUSTER', 'ADDSLOTSRANGE', String(from), String(to))
        await node.call('CLUSTER', 'SET-CONFIG-EPOCH', String(i + 1))
      }),
    )
    for (const node of nodes.slice(1))
      await node.call('CLUSTER', 'MEET', '127.0.0.1', String(first?.port))
    for (const node of nodes) await untilWhole(node)
    for (const node of nodes) node.disconnect()
    return new RedisCluster(servers)
  }

  connect(): Cluster {
    return new Cluster(this.#servers.map(({ port }) => ({ host: '127.0.0.1', port })))
  }

  async close(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.close()))
  }
}

/** Nodes tell each other of themselves in their own time. */
async function untilWhole(node: Redis): Promise<void> {
  for (;;) {
    const info = String(await node.call('CLUSTER', 'INFO'))
    if (info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${NODES}`)) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
