// Ten times the data: how much longer the commands of size.mjs take. Minutes each, so only when asked for: npm run bench -- size-10x.
import size from './size.mjs'

const most = 11

export default size
  .filter(({ sides }) => sides)
  .map(({ name, work, sides, input = 'clicks' }) => ({
    name: `${name}, 10 ×`,
    work: `${work ?? sides.beck.replaceAll(/^beck | "\$\w+"/g, '')}: 10 × the data`,
    long: true,
    unit: '× the time',
    bar: { most },
    measure(kit) {
      const run = (times) => kit.run(sides.beck, { file: kit[input](times) })
      run(1) // makes the files
      const one = kit.median([run(1), run(1), run(1)])
      const ten = Math.min(run(10), run(10))
      kit.forget()
      return ten / one
    },
  }))
