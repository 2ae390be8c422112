import { describe, expect, test } from 'vitest'
import { BeckError } from '../../src/core/errors.ts'
import { GroupMember } from '../../src/log/groups.ts'
import { ProducerSession } from '../../src/log/producer.ts'
import { Store } from '../../src/log/store.ts'
import { alterTopic, createTopic } from '../../src/log/topics.ts'
import { Crash, Disk, type SimulatedEnv } from '../crash/simulated-disk.ts'

const open = (env: SimulatedEnv): Store => Store.open('/store', { env, create: true })
const line = (text: string): { lines: Uint8Array[]; count: number } => ({
  lines: [Buffer.from(`${JSON.stringify(text)}\n`)],
  count: 1,
})
const codeOf = (work: () => unknown): string => {
  try {
    work()
  } catch (error) {
    if (error instanceof BeckError) return error.code
    throw error
  }
  return 'no error'
}

function withTopic(partitions = 1): { disk: Disk; env: SimulatedEnv; store: Store } {
  const disk = new Disk()
  const env = disk.process()
  const store = open(env)
  store.transact(true, (transaction) => createTopic(store, transaction, 't', { partitions }))
  return { disk, env, store }
}

describe('the lock', () => {
  test('who lost it while it was stopped writes no line', () => {
    const { disk, env, store } = withTopic()
    const other = open(disk.process())
    const outcome = codeOf(() =>
      store.transact(true, (transaction) => {
        transaction.append('t/0', line('zombie'))
        disk.living.delete(env.identity.pid) // the others are told that it died
        other.transact(true, (theirs) => theirs.append('t/0', line('living')))
      }),
    )
    expect(outcome).toBe('fenced')
    expect(other.state.partition('t/0')?.next).toBe(1)
    const reader = open(disk.process())
    expect(reader.state.partition('t/0')?.next).toBe(1)
  })

  test('a living holder is waited for', () => {
    const { disk, store } = withTopic()
    const other = open(disk.process())
    expect(() => store.transact(true, () => other.transact(true, () => {}))).toThrow('waits for ever')
  })

  test('who waits for longer than two seconds hears for whom', () => {
    const { disk, env, store } = withTopic()
    const said: string[] = []
    const other = Store.open('/store', { env: disk.process(), say: (line) => said.push(line) })
    expect(() => store.transact(true, () => other.transact(true, () => {}))).toThrow('waits for ever')
    expect(said).toEqual([`waiting 2 s for the store's lock, held by process ${env.identity.pid}`])
  })

  test('a holder of another pid namespace is never taken for dead', () => {
    const { disk, store } = withTopic()
    const elsewhere = Object.assign(disk.process(), { alive: () => 'unknown' as const })
    const other = open(elsewhere)
    let error: unknown
    store.transact(true, () => {
      try {
        other.transact(true, () => {})
      } catch (thrown) {
        error = thrown
      }
    })
    expect(error).toMatchObject({ code: 'store', exit: 3 })
    expect(String((error as Error).message)).toContain('of another container')
    other.transact(true, (transaction) => transaction.append('t/0', line('after it let go')))
    expect(other.state.partition('t/0')?.next).toBe(1)
  })

  test('a holder whose identity is damaged is not taken for dead', () => {
    const { disk, env, store } = withTopic()
    const outcome = codeOf(() =>
      store.transact(true, () => {
        const held = [...disk.files()].find(([path]) => /lock\.\d+$/.test(path))?.[1]
        if (!held) throw new Error('no lock')
        const digit = held.content.indexOf(String(env.identity.pid)) + 2
        held.content[digit] = (held.content[digit] as number) ^ 1 // another process, which is not alive
        open(disk.process()).transact(true, () => {})
      }),
    )
    expect(outcome).toBe('store')
  })

  test('a generation that somebody else has had and let go is not won again', () => {
    const { disk, store } = withTopic()
    const other = open(disk.process())
    // The other one wins and lets go of the next generations, so that what this process remembers is old.
    for (let i = 0; i < 3; i++) other.transact(false, (transaction) => transaction.append('t/0', line(`other ${i}`)))
    store.transact(false, (transaction) => transaction.append('t/0', line('late')))
    expect(store.state.partition('t/0')?.next).toBe(4)
    expect(store.state.gen).toBeGreaterThan(other.state.gen)
    const generations = store.env.list('/store/lock').filter((name) => name.startsWith('lock.'))
    expect(generations).toHaveLength(1)
  })
})

describe('a process that goes on where it was', () => {
  test('sees that another one has begun a new file of the journal', () => {
    const { disk, store } = withTopic()
    const add = (to: Store, text: string) => to.transact(true, (transaction) => transaction.append('t/0', line(text)))
    const other = Store.open('/store', { env: disk.process(), rollBytes: 1 })
    add(store, 'first')
    add(other, 'second')
    add(other, 'third')
    add(store, 'fourth')
    expect(open(disk.process()).state.partition('t/0')?.next).toBe(4)
  })

  test('removes what another one, dead now, has left', () => {
    const { disk, store } = withTopic()
    store.transact(true, (transaction) => transaction.append('t/0', line('first')))
    const env = disk.process()
    const other = open(env)
    expect(() =>
      other.transact(true, (transaction) => {
        transaction.append('t/0', line('not committed'))
        env.kill()
      }),
    ).toThrow(Crash)
    store.transact(true, (transaction) => transaction.append('t/0', line('second')))
    expect(disk.files().get('/store/topics/t/0/00000000000000000000.ndjson')?.content.toString()).toBe(
      '"first"\n"second"\n',
    )
  })
})

describe('tails', () => {
  test('a tail that a living process may have left is not cut: a new segment begins', () => {
    const { disk, store } = withTopic()
    store.transact(true, (transaction) => transaction.append('t/0', line('first')))
    const env = disk.process()
    const fd = env.open('/store/topics/t/0/00000000000000000000.ndjson', 'write')
    env.write(fd, Buffer.from('half a rec'), env.stat(fd).length)
    store.transact(true, (transaction) => transaction.append('t/0', line('second')))
    expect(store.state.partition('t/0')?.segments.map(({ stem }) => stem)).toEqual([
      '00000000000000000000',
      '00000000000000000001',
    ])
  })

  test('what a dead process left behind is cut off and removed', () => {
    const { disk, env, store } = withTopic(2)
    store.transact(true, (transaction) => transaction.append('t/0', line('first')))
    expect(() =>
      store.transact(true, (transaction) => {
        transaction.append('t/0', line('not committed'))
        transaction.append('t/1', line('nor this'))
        env.kill()
      }),
    ).toThrow(Crash)
    const other = open(disk.process())
    expect(other.env.list('/store/topics/t/1')).toEqual([])
    expect(disk.files().get('/store/topics/t/0/00000000000000000000.ndjson')?.content.toString()).toBe('"first"\n')
  })

  test('committed bytes that are missing are told, and nothing is written', () => {
    const { disk, store } = withTopic()
    store.transact(true, (transaction) => transaction.append('t/0', line('first')))
    const env = disk.process()
    const fd = env.open('/store/topics/t/0/00000000000000000000.ndjson', 'write')
    env.truncate(fd, 3)
    expect(codeOf(() => store.transact(true, (transaction) => transaction.append('t/0', line('second'))))).toBe('store')
    expect(env.stat(fd).length).toBe(3)
  })
})

describe('producers', () => {
  test('a later run fences an earlier one', () => {
    const { disk, store } = withTopic()
    const first = new ProducerSession(store, 't', 'p', true)
    first.take(1)
    const other = open(disk.process())
    const second = new ProducerSession(other, 't', 'p', true)
    expect(codeOf(() => store.transact(true, (transaction) => first.commit(store, transaction)))).toBe('fenced')
    second.take(1)
    expect(codeOf(() => other.transact(true, (transaction) => second.commit(other, transaction)))).toBe('no error')
  })
})

describe('groups', () => {
  test('a member that others have put out commits nothing', () => {
    const { disk, store } = withTopic()
    store.transact(true, (transaction) => transaction.append('t/0', line('a')))
    const env = disk.process()
    const stopped = open(env)
    const first = GroupMember.join(stopped, 'g', { id: 'a', topics: ['t'], sessionMs: 50 })
    expect(first.owned()).toEqual(['t/0'])
    disk.clock += 1000
    const second = GroupMember.join(open(disk.process()), 'g', { id: 'b', topics: ['t'] })
    expect(second.owned()).toEqual(['t/0'])
    expect(codeOf(() => first.commit(new Map([['t/0', 1]])))).toBe('fenced')
    second.commit(new Map([['t/0', 1]]))
    expect(open(disk.process()).state.group('g').offsets.get('t/0')).toBe(1)
  })

  test('an earlier life of the same member is fenced, too', () => {
    const { disk } = withTopic()
    const env = disk.process()
    const first = GroupMember.join(open(env), 'g', { id: 'a', topics: ['t'] })
    disk.living.delete(env.identity.pid)
    GroupMember.join(open(disk.process()), 'g', { id: 'a', topics: ['t'] })
    expect(codeOf(() => first.commit(new Map([['t/0', 0]])))).toBe('fenced')
  })

  test('a partition changes hands only when its owner lets go', () => {
    const { disk } = withTopic(2)
    const first = GroupMember.join(open(disk.process()), 'g', { id: 'a', topics: ['t'] })
    const store = open(disk.process())
    const second = GroupMember.join(store, 'g', { id: 'b', topics: ['t'] })
    expect(second.owned()).toEqual([])
    expect(codeOf(() => second.commit(new Map([['t/1', 5]])))).toBe('fenced')
    first.commit(new Map([['t/1', 0]]))
    expect(first.owned()).toEqual(['t/0'])
    store.refresh()
    expect(second.owned()).toEqual(['t/1'])
    expect(codeOf(() => first.commit(new Map([['t/1', 3]])))).toBe('fenced')
  })

  test('partitions that a topic gets later are shared out, too', () => {
    const { disk, store } = withTopic(1)
    const member = GroupMember.join(open(disk.process()), 'g', { topics: ['t'] })
    expect(member.expire()).toBe(false)
    store.transact(true, (transaction) => alterTopic(store, transaction, 't', { partitions: 3 }))
    member.commit(new Map()) // takes in what others did
    expect(member.expire()).toBe(true)
    expect(member.owned()).toEqual(['t/0', 't/1', 't/2'])
    expect(member.expire()).toBe(false)
  })

  test('the partitions of a dead member go to those that stand by', () => {
    const { disk } = withTopic(4)
    const envs = Array.from({ length: 6 }, () => disk.process())
    const members = envs.map((env, i) => GroupMember.join(open(env), 'g', { id: `m${i}`, topics: ['t'] }))
    const owned = (): string[][] => {
      // Twice round: first all let go, then all take.
      for (let round = 0; round < 2; round++) {
        for (const [i, member] of members.entries())
          if (disk.living.has(envs[i]?.identity.pid ?? 0)) member.commit(new Map())
      }
      return members.filter((_, i) => disk.living.has(envs[i]?.identity.pid ?? 0)).map((member) => member.owned())
    }
    expect(owned().map((names) => names.length)).toEqual([1, 1, 1, 1, 0, 0])
    envs[1]?.kill()
    expect(members[5]?.expire()).toBe(true)
    expect(owned().map((names) => names.length)).toEqual([1, 1, 1, 1, 0])
    expect(new Set(owned().flat()).size).toBe(4)
  })
})
