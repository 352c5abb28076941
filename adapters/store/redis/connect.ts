import type { RedisClient } from './client.ts'

/**
 * A client of our own: it fails while there is no connection rather than do things later.
 *
 * ioredis makes a closure for each command, which V8 places among the old objects from the start: so
 * the command, what it asked and what was answered would stay in memory until a full garbage
 * collection, which a busy process then needs often. Here they are let go once they are answered.
 */
export async function connect(url: string): Promise<RedisClient> {
  const { Command, Redis } = await import('ioredis')
  class Call extends Command {
    answer: unknown

    /** What the command resolves with is kept with it. */
    override transformReply(reply: Buffer | Buffer[]): string {
      this.answer = super.transformReply(reply)
      return ''
    }
  }
  const client = new Redis(url, {
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    // After a failover this connection may lead to what is a replica now.
    reconnectOnError: ({ message }) => message.startsWith('READONLY'),
    keepAlive: 10_000,
    retryStrategy: (attempt) => Math.min(50 * attempt, 2_000),
  })
  // Whoever uses the store hears of it by what they asked for.
  client.on('error', () => {})
  const call = async (name: string, args: string[]): Promise<unknown> => {
    const command = new Call(name, args, { replyEncoding: 'utf8' })
    try {
      await client.sendCommand(command)
      return command.answer
    } finally {
      command.args = []
      command.answer = undefined
    }
  }
  return Object.assign(client, { call }) as unknown as RedisClient
}
